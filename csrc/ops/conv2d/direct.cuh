// Forward and the gradient of the input where a matrix product would be mostly empty: a channel
// or a few a group, and the first layer, whose windows are short. Every thread for itself.
#pragma once

#include "ops/conv2d/tail.cuh"

namespace fnn::cuda {

constexpr int kDirectThreads = 256;
template <class T>
constexpr int kStagedChannels = 2 * Pack<T>::N;  // of a thread, where the weights are in shared memory

// How many there are of four places, `across` of them in a row.
struct Windows {
  int across, y, x;
  int64_t tasks;  // of threads
};

// A thread makes four neighbouring places of N channels: 2 x 2, which a pooled output wants, or
// 1 x 4 where maps are one row high. kOwn: each channel reads an input of its own, else all N
// read the same. The weights (taps, from, channels) lie in shared memory if kStaged, where each
// block puts them in order itself, or are `packed`.
template <class T, int N, bool kOwn, bool kStaged, class In>
__global__ void __launch_bounds__(kDirectThreads, sizeof(T) == 8 ? 1 : 2)
    direct_kernel(Gather g, In in, Weights<T> weights, const T* packed, Outputs<T> out, bool packs, Windows windows) {
  const int channels = g.channels(), vectors = (channels + N - 1) / N;
  const int row = kStaged ? vectors * N : channels;  // of weights
  const T* w = packed;
  if constexpr (kStaged) {
    T* staged = shared_memory<T>();
    for (int i = threadIdx.x; i < g.taps() * g.from * row; i += kDirectThreads) {
      const int channel = i % row, source = i / row;
      staged[i] = channel < channels ? weights(channel, source / g.from, source % g.from) : T(0);
    }
    __syncthreads();
    w = staged;
  }
  for (int64_t task = first_task(); task < windows.tasks; task += task_stride()) {
    uint64_t rest = task;
    const auto next = [&](int size) {
      const int at = static_cast<int>(rest % size);
      rest /= size;
      return at;
    };
    const int channel = next(vectors) * N, qx = next(windows.x), qy = next(windows.y);
    const int phase_x = next(g.phases_x()), phase_y = next(g.phases_y());
    const int64_t n = static_cast<int64_t>(rest);
    const Sight sy = sight(g.y, g.backward, phase_y), sx = sight(g.x, g.backward, phase_x);
    int iy[4], ix[4];
    for (int p = 0; p < 4; ++p) {
      iy[p] = windows.across == 4 ? qy : 2 * qy + p / 2;
      ix[p] = windows.across == 4 ? 4 * qx + p : 2 * qx + p % 2;
    }
    if (iy[0] >= sy.places || ix[0] >= sx.places) continue;  // of a smaller phase
    const int source = kOwn ? channel : channel / g.to * g.from;

    Pack<T, N> sum[4];
    for (auto& z : sum) z = Pack<T, N>(0);
    for (int ty = 0; ty < sy.taps; ++ty)
      for (int tx = 0; tx < sx.taps; ++tx) {
        typename In::Pixel pixel[4];
#pragma unroll
        for (int p = 0; p < 4; ++p)
          pixel[p] =
              in.at(n, sy.offset + iy[p] * sy.stride + ty * sy.step, sx.offset + ix[p] * sx.stride + tx * sx.step);
        const int tap = (sy.tap + ty * sy.tap_every) * g.x.taps + sx.tap + tx * sx.tap_every;
        const T* at = w + int64_t{tap} * g.from * row + channel;
        for (int i = 0; i < g.from; ++i, at += row) {
          const Pack<T, N> factor = *reinterpret_cast<const Pack<T, N>*>(at);
#pragma unroll
          for (int p = 0; p < 4; ++p) {
            if constexpr (kOwn)
              sum[p] = fma(in.template load<N>(pixel[p], source), factor, sum[p]);
            else
              sum[p] = fma(Pack<T, N>(in.template load<1>(pixel[p], source + i).v[0]), factor, sum[p]);
          }
        }
      }

    const int count = channels - channel < N ? channels - channel : N;
    if (out.tail.pool) {
      out.store_pooled(n, qy, qx, channel, count, packs, sum);
      continue;
    }
#pragma unroll
    for (int p = 0; p < 4; ++p)
      if (iy[p] < sy.places && ix[p] < sx.places)
        out.store(n, sy.first + iy[p] * sy.every, sx.first + ix[p] * sx.every, channel, count, packs, sum[p]);
  }
}

template <class T>
size_t staged_bytes(const Gather& g) {
  return int64_t{g.taps()} * g.from * div_up(g.channels(), kStagedChannels<T>) * kStagedChannels<T> * sizeof(T);
}

template <class T>
bool direct_pays(const Gather& g) {
  constexpr int kFewOutputs = 16, kFewInputs = 4;
  if (g.groups > 1) return g.to < kFewOutputs;
  return (g.to < kFewOutputs || g.from <= kFewInputs) && staged_bytes<T>(g) <= kPlainShared;
}

template <class T, class In>
void direct(Stream& s, const Gather& g, const In& in, const Weights<T>& w, const Outputs<T>& out) {
  const bool pool = out.tail.pool, packs = out.in_packs();
  const int across = g.places_y() == 1 && !pool ? 4 : 2;
  const int windows_y = pool ? out.height / 2 : static_cast<int>(div_up(g.places_y(), 4 / across));
  const int windows_x = pool ? out.width / 2 : static_cast<int>(div_up(g.places_x(), across));
  const int64_t windows = g.n * g.phases_y() * g.phases_x() * windows_y * windows_x;
  const auto run = [&](auto kernel, int channels, const T* packed, size_t shared) {
    const Windows of{across, windows_y, windows_x, windows * div_up(g.channels(), channels)};
    start(s, kernel, blocks_for(of.tasks, kDirectThreads), kDirectThreads, shared, g, in, w, packed, out, packs, of);
  };
  constexpr int N = Pack<T>::N;
  if (g.groups == 1)
    return run(&direct_kernel<T, kStagedChannels<T>, false, true, In>, kStagedChannels<T>, nullptr, staged_bytes<T>(g));
  const T* packed = pack_weights(s, g, w);
  if (g.from == 1 && g.to == 1 && in.in_packs() && packs)
    run(&direct_kernel<T, N, true, false, In>, N, packed, 0);
  else if (g.to % N == 0 && packs)
    run(&direct_kernel<T, N, false, false, In>, N, packed, 0);
  else
    run(&direct_kernel<T, 1, false, false, In>, 1, packed, 0);
}

}  // namespace fnn::cuda

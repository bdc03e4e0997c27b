// FNN_FOR_EACH(M, a, b, t1, t2, ...) expands to M(a, b, t1) M(a, b, t2) ...
#pragma once

#define FNN_FOR_EACH(M, a, b, ...) FNN_FOR_EACH_PICK(__VA_ARGS__, 6, 5, 4, 3, 2, 1)(M, a, b, __VA_ARGS__)
#define FNN_FOR_EACH_PICK(t1, t2, t3, t4, t5, t6, n, ...) FNN_FOR_EACH_NAME(n)
#define FNN_FOR_EACH_NAME(n) FNN_FOR_EACH_##n
#define FNN_FOR_EACH_1(M, a, b, t) M(a, b, t)
#define FNN_FOR_EACH_2(M, a, b, t, ...) M(a, b, t) FNN_FOR_EACH_1(M, a, b, __VA_ARGS__)
#define FNN_FOR_EACH_3(M, a, b, t, ...) M(a, b, t) FNN_FOR_EACH_2(M, a, b, __VA_ARGS__)
#define FNN_FOR_EACH_4(M, a, b, t, ...) M(a, b, t) FNN_FOR_EACH_3(M, a, b, __VA_ARGS__)
#define FNN_FOR_EACH_5(M, a, b, t, ...) M(a, b, t) FNN_FOR_EACH_4(M, a, b, __VA_ARGS__)
#define FNN_FOR_EACH_6(M, a, b, t, ...) M(a, b, t) FNN_FOR_EACH_5(M, a, b, __VA_ARGS__)

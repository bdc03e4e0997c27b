"""A training loop as PyTorch's tutorials write it; only the three imports below differ.

python examples/mnist_like_pytorch.py                        # scikit-learn's small digits
python examples/mnist_like_pytorch.py --data mnist --data-dir data
"""

import argparse

import fastnn as torch  # import torch
from fastnn import nn, optim  # from torch import nn, optim
from fastnn.data import DataLoader, TensorDataset  # from torch.utils.data import ...


def train(x, y, epochs, device="cpu"):
    """Trains N-100-10 on images x (N, 1, H, W) and labels y (N); returns a row for each epoch."""
    torch.manual_seed(0)
    dataset = TensorDataset(torch.from_numpy(x), torch.from_numpy(y))
    loader = DataLoader(dataset, batch_size=32, shuffle=True)

    model = nn.Sequential(nn.Flatten(), nn.Linear(x[0].size, 100), nn.ReLU(), nn.Linear(100, 10))
    model = model.to(device)
    loss_fn = nn.CrossEntropyLoss()
    optimizer = optim.SGD(model.parameters(), lr=0.01, momentum=0.9)

    history = []
    for epoch in range(epochs):
        total_loss, correct = 0.0, 0
        for images, labels in loader:
            images, labels = images.to(device), labels.to(device)
            outputs = model(images)
            loss = loss_fn(outputs, labels)

            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

            total_loss += loss.item() * len(labels)
            correct += (outputs.argmax(1) == labels).sum().item()
        history.append((total_loss / len(y), correct / len(y)))
        print(f"epoch {epoch + 1}: loss {history[-1][0]:.4f}, accuracy {history[-1][1]:.2%}")
    return history


if __name__ == "__main__":
    from fastnn import data

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", choices=["digits", "mnist"], default="digits")
    parser.add_argument("--data-dir", default="data", help="the folder that holds MNIST/raw")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--device", default="cpu", help="cpu or cuda")
    args = parser.parse_args()
    (x, y), _ = data.mnist(args.data_dir) if args.data == "mnist" else data.digits()
    train(x, y, args.epochs, args.device)

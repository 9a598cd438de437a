import pytest
import timm
import torch
from torch import nn

from wsss.attribution.classifier import Classifier


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


class Means(nn.Module):
    """The image is the activations; logits are linear in their means."""

    def __init__(self, weight, bias):
        super().__init__()
        self.features = nn.Identity()
        self.fc = nn.Linear(3, 3)
        self.fc.weight = nn.Parameter(torch.tensor(weight))
        self.fc.bias = nn.Parameter(torch.tensor(bias))
        self.double()

    def forward(self, x):
        return self.fc(self.features(x).mean((2, 3)))


@pytest.fixture
def worked_images():
    """Activations of an example worked by hand: one image, three channels, 2 × 2."""
    a = [[4.0, 0.0, 2.0, 1.0], [0.0, 3.0, 1.0, 0.0], [1.0, 1.0, 0.0, 2.0]]
    return torch.tensor(a, dtype=torch.float64).view(1, 3, 2, 2)


@pytest.fixture(params=["closed", "gradient"])
def worked(request):
    """Its classifier, of which the first two classes are detected; with and without closed forms.

    Logits are 3, 1.75 and −5.75.
    """
    weight = [[2.0, -1.0, 0.5], [1.0, 3.0, -2.0], [-1.0, -2.0, 1.0]]
    network = Means(weight, [0.0, -1.0, -3.0])
    return Classifier(network, "features", linear="fc" if request.param == "closed" else None)


@pytest.fixture
def worked_closed():
    weight = [[2.0, -1.0, 0.5], [1.0, 3.0, -2.0], [-1.0, -2.0, 1.0]]
    return Classifier(Means(weight, [0.0, -1.0, -3.0]), "features", linear="fc")


class Residual(nn.Module):
    """Convolutions with and without a bias, BatchNorm, in-place ReLU, a sum, a linear head."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(True))
        self.pool = nn.MaxPool2d(2)
        self.branch = nn.Sequential(
            nn.Conv2d(8, 8, 3, padding=1, bias=False),
            nn.BatchNorm2d(8),
            nn.ReLU(True),
            nn.Conv2d(8, 8, 3, padding=1),
        )
        self.last = nn.Sequential(nn.Conv2d(8, 12, 3, 2, 1, bias=False), nn.BatchNorm2d(12))
        self.relu = nn.ReLU(True)
        self.fc = nn.Linear(12, 4)

    def forward(self, x):
        x = self.pool(self.stem(x))
        x = self.relu(self.last(x + self.branch(x)))
        return self.fc(x.mean((2, 3)))


def shaken(network, seed=0):
    """Parameters and statistics that are not the initial ones, so that nothing is 0 or 1."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in network.modules():
            if getattr(module, "running_mean", None) is not None:
                module.running_mean.normal_(0, 0.3, generator=generator)
                module.running_var.uniform_(0.5, 2, generator=generator)
            if isinstance(module, nn.BatchNorm2d | nn.GroupNorm | nn.LayerNorm):
                module.weight.uniform_(0.5, 1.5, generator=generator)
                module.bias.normal_(0, 0.3, generator=generator)
            elif isinstance(module, nn.Conv2d | nn.Linear):
                fan = module.weight[0].numel()
                module.weight.normal_(0, (2 / fan) ** 0.5, generator=generator)
                if module.bias is not None:
                    module.bias.normal_(0, 0.3, generator=generator)
    return network.eval()


@pytest.fixture
def residual():
    """A small residual network, float32; its layer "relu" is followed by means and "fc"."""
    return shaken(Residual())


@pytest.fixture
def shake():
    return shaken


@pytest.fixture
def images():
    """Three images, 16 × 20."""
    return torch.randn(3, 3, 16, 20, generator=torch.Generator().manual_seed(5))


@pytest.fixture
def labels():
    """Of three images and four classes: two, one and three in an image."""
    return torch.tensor([[1, 0, 1, 0], [0, 1, 0, 0], [1, 1, 0, 1]]).bool()


@pytest.fixture
def tiny():
    """tiny(kind) → a small network of timm with four classes: resnet, se, group-norm."""

    def build(kind):
        options = {
            "resnet": {},
            "se": {"block_args": {"attn_layer": "se"}},
            "group-norm": {"norm_layer": lambda channels, **_: nn.GroupNorm(4, channels)},
        }[kind]
        return shaken(timm.create_model("test_resnet", num_classes=4, **options))

    return build

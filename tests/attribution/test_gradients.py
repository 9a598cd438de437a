import torch

from wsss.attribution.classifier import Classifier
from wsss.attribution.methods.gradients import gradients


def test_gradients_of_a_linear_network_by_hand(worked, worked_images):
    found = gradients(worked, worked_images, [0, 2])
    # Of class 0 the weights are 2, −1 and 0.5, of class 2 −1, −2 and 1, each over four positions.
    expected = torch.tensor([3.5 / 12, 4 / 12], dtype=torch.float64)
    torch.testing.assert_close(found.maps, expected[:, None, None].expand(2, 2, 2))
    assert found.classes.tolist() == [0, 2]


def test_they_are_the_change_of_the_logit_by_a_pixel(residual, images, labels):
    network, x = residual.double(), images.double()
    found = gradients(Classifier(network, "relu"), x, labels)
    for i, c, m in zip(*labels.nonzero(as_tuple=True), found.maps, strict=True):
        slope = []
        for channel in range(3):
            step = torch.zeros_like(x[:1])
            step[0, channel, 7, 3] = 1e-6
            with torch.no_grad():
                up, down = network(x[i : i + 1] + step)[0, c], network(x[i : i + 1] - step)[0, c]
            slope.append(abs(float(up - down)) / 2e-6)
        torch.testing.assert_close(float(m[7, 3]), sum(slope) / 3, rtol=1e-5, atol=1e-8)


def test_images_are_not_touched(residual, images, labels):
    before = images.clone()
    gradients(Classifier(residual, "relu"), images, labels)
    assert torch.equal(images, before) and images.grad is None and not images.requires_grad

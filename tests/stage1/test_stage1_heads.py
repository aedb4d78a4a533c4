"""The simplex's geometry, and the two classifiers that are no linear layer."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cosine_similarity

from ltfix import seeds
from ltfix.errors import UsageError
from ltfix.heads.head import Head
from ltfix.stage1.trainee import CosineClassifier, EtfClassifier, simplex, simplex_etf


def test_the_simplex_is_the_published_one(golden) -> None:
    expected = torch.from_numpy(golden("heads_official")["etf.standard_K10"])
    assert torch.allclose(simplex(10).float(), expected, atol=1e-6)


@pytest.mark.parametrize(("dim", "k"), [(2, 2), (10, 10), (64, 10), (512, 100)])
def test_rows_are_unit_and_equally_apart_in_any_orientation(dim: int, k: int) -> None:
    with seeds.seeded(0, dim, k):
        rows, other = simplex_etf(dim, k), simplex_etf(dim, k)
    gram = rows @ rows.T
    expected = torch.full((k, k), -1 / (k - 1), dtype=torch.float64).fill_diagonal_(1)
    assert torch.allclose(gram, expected, atol=1e-12)
    assert torch.allclose(rows.sum(0), torch.zeros(dim, dtype=torch.float64), atol=1e-12)
    assert not torch.allclose(rows, other)


def test_a_simplex_needs_room() -> None:
    with pytest.raises(UsageError, match=r"K = 10 .* D = 9 .*cifar_resnet34"):
        simplex_etf(9, 10)


def test_only_the_bias_of_an_etf_classifier_trains() -> None:
    head = EtfClassifier(64, 10)
    assert [name for name, _ in head.named_parameters()] == ["bias"]
    assert set(head.state_dict()) == {"weight", "bias"}
    assert float(head.bias.detach().abs().max()) <= 1 / 64
    x = torch.randn(5, 64)
    assert torch.allclose(head(x), x @ head.weight.T + head.bias, atol=1e-6)


def test_a_cosine_classifier_is_the_head_file_it_becomes() -> None:
    classifier = CosineClassifier(6, 4)
    assert torch.allclose(classifier.weight.norm(dim=1), torch.ones(4))
    with torch.no_grad():
        classifier.weight.mul_(torch.tensor([[3.0], [0.5], [1.0], [2.0]]))  # norms do not matter
    x = torch.randn(5, 6)
    found = classifier(x)
    assert torch.allclose(found, cosine_similarity(x[:, None], classifier.weight[None], dim=2), atol=1e-6)
    weight, bias, transform = classifier.head()
    head = Head(weight.numpy(), bias.numpy(), "stage-1", transform=transform)
    assert torch.allclose(torch.as_tensor(head.logits(x)), found, atol=1e-6)

"""`AffineWarpConstraints`."""

import numpy as np
import pytest

import sonnet as snt

Constraints = snt.AffineWarpConstraints
N = None


def test_knows_what_is_free():
    constraints = Constraints([[1, N, 0.5], (N, np.float32(2), N)])
    assert constraints.constraints == ((1, N, 0.5), (N, 2, N))
    assert constraints.mask == ((False, True, False), (True, False, True))
    assert constraints.num_free_params == 3
    assert constraints.num_dim == 2
    assert constraints[1] == (N, 2, N)
    assert list(constraints) == [(1, N, 0.5), (N, 2, N)]
    assert eval(repr(Constraints([[1, N]])), {"AffineWarpConstraints": Constraints})[0] == (1, N)


def test_is_free_by_default():
    assert Constraints().constraints == ((N, N, N), (N, N, N))
    for num_dim in (1, 2, 3):
        constraints = Constraints.no_constraints(num_dim)
        assert constraints.num_dim == num_dim
        assert constraints.num_free_params == num_dim * (num_dim + 1)
    assert Constraints.no_constraints().num_dim == 2


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        (Constraints.translation_2d(x=0), [[N, N, 0], [N, N, N]]),
        (Constraints.translation_2d(1, 2), [[N, N, 1], [N, N, 2]]),
        (Constraints.translation_3d(y=3), [[N, N, N, N], [N, N, N, 3], [N, N, N, N]]),
        (Constraints.translation_3d(1, 2, 3), [[N, N, N, 1], [N, N, N, 2], [N, N, N, 3]]),
        (Constraints.scale_2d(y=0), [[N, N, N], [N, 0, N]]),
        (Constraints.scale_2d(1, 2), [[1, N, N], [N, 2, N]]),
        (Constraints.scale_3d(1, 2, 3), [[1, N, N, N], [N, 2, N, N], [N, N, 3, N]]),
        (Constraints.scale_3d(z=3), [[N, N, N, N], [N, N, N, N], [N, N, 3, N]]),
        (Constraints.shear_2d(1, 2), [[N, 1, N], [2, N, N]]),
        (Constraints.shear_2d(y=2), [[N, N, N], [2, N, N]]),
        (Constraints.no_shear_2d(), [[N, 0, N], [0, N, N]]),
        (Constraints.no_shear_3d(), [[N, 0, 0, N], [0, N, 0, N], [0, 0, N, N]]),
    ],
)
def test_class_methods(made, expected):
    assert made.constraints == tuple(map(tuple, expected))


def test_combines():
    both = Constraints.scale_2d(x=1) & Constraints.translation_2d(y=2)
    assert both.constraints == ((1, N, N), (N, N, 2))
    same = both.combine_with([[1.0, N, 3], [N, N, N]])
    assert same.constraints == ((1, N, 3), (N, N, 2))
    assert both.constraints == ((1, N, N), (N, N, 2))


@pytest.mark.parametrize("number", [0, 0.0, False, 1])
def test_zeros_are_kept_on_either_side(number):
    zero, free = Constraints([[number, N]]), Constraints([[N, N]])
    assert (zero & free).constraints == ((number, N),)
    assert (free & zero).constraints == ((number, N),)
    shifted = Constraints.no_shear_2d() & Constraints.translation_2d(x=1)
    assert shifted.constraints == ((N, 0, 1), (0, N, N))


@pytest.mark.parametrize("other", [[[1, N, N], [N, N, N]], Constraints.scale_2d(x=1)])
def test_does_not_combine_different_numbers(other):
    for fixed in (0, 2):
        with pytest.raises(ValueError, match="Incompatible set of constraints provided"):
            Constraints.scale_2d(x=fixed) & other


def test_does_not_combine_different_dimensions():
    for one, other in ((2, 3), (3, 2)):
        with pytest.raises(ValueError, match="Incompatible set of constraints provided.*dimension"):
            Constraints.no_constraints(one) & Constraints.no_constraints(other)


@pytest.mark.parametrize("given", [3, None, [1, 2, 3], [None, None]])
def test_must_be_a_nested_iterable(given):
    with pytest.raises(TypeError, match="must be a nested iterable"):
        Constraints(given)


@pytest.mark.parametrize(
    "given", [[[1, 2]] * 2, [[1, 2, 3]], [[N] * 3, [N] * 4], [[]], [], ["ab"] * 2]
)
def test_must_be_a_matrix_of_one_more_column(given):
    with pytest.raises(ValueError, match=r"Nx\(N\+1\) matrix"):
        Constraints(given)


@pytest.mark.parametrize("entry", ["a", 1j, [1]])
def test_entries_are_numbers_or_none(entry):
    with pytest.raises(TypeError, match="numbers and None"):
        Constraints([[entry, N]])

"""`GridWarper` and `AffineGridWarper`."""

import itertools

import hypothesis
import numpy as np
import pytest
import tensorflow as tf
import tensorflow.compat.v1 as tf1
from hypothesis import strategies as st

import sonnet as snt

RNG = np.random.default_rng(0)
IDENTITY = [1.0, 0.0, 0.0, 0.0, 1.0, 0.0]
Constraints = snt.AffineWarpConstraints
N = None


def expected_grid(matrices, source_shape, output_shape):
    """Maps each point of the grid by itself."""
    grid = np.zeros([len(matrices), *output_shape, len(source_shape)])
    for index in itertools.product(*map(range, output_shape)):
        point = [
            -1 if size == 1 else 2 * i / (size - 1) - 1
            for i, size in zip(index, output_shape, strict=True)
        ]
        point = point[::-1] + [0] * (len(source_shape) - len(output_shape)) + [1]
        mapped = matrices @ point
        sizes = np.array(source_shape[::-1])
        grid[(slice(None), *index)] = (mapped + 1) * (sizes - 1) / 2
    return grid


def full_matrices(parameters, constraints):
    matrices = []
    for row in parameters:
        free = iter(row)
        matrices.append(
            [[next(free) if entry is None else entry for entry in r] for r in constraints]
        )
    return np.array(matrices)


# GridWarper.


class Shift(snt.GridWarper):
    def __init__(self, source_shape, output_shape, step=2, name="shift"):
        super().__init__(source_shape, output_shape, 1, name, step=step)

    def _create_features(self, step):
        assert self.source_shape
        return step * np.arange(self.output_shape[0])

    def _build(self, inputs):
        return inputs + tf.constant(self.psi, inputs.dtype)


def test_features_are_there_before_the_connection(mode):
    module = Shift([4, np.int64(5)], tf.TensorShape([3]), step=3)
    np.testing.assert_array_equal(module.psi, [0, 3, 6])
    assert module.source_shape == (4, 5)
    assert module.output_shape == (3,)
    assert module.n_coeff == 1
    outputs = mode.run(module, np.ones([2, 1], np.float32))
    np.testing.assert_array_equal(outputs, [[1, 4, 7]] * 2)
    assert module.variables == ()


def test_grid_warper_is_abstract():
    with pytest.raises(TypeError, match="abstract"):
        snt.GridWarper([4, 4], [4, 4], 6, "warper")


def test_the_grid_has_no_more_axes_than_the_source():
    for warper in (Shift, snt.AffineGridWarper):
        with pytest.raises(snt.Error, match="Output domain dimensionality"):
            warper([4, 4], [4, 4, 4])


@pytest.mark.parametrize("shapes", [(3, [3]), ([3], 3), ([3.5], [3]), ([3], ["a"]), ([3], [None])])
def test_shapes_are_iterables_of_integers(shapes):
    for warper in (Shift, snt.AffineGridWarper):
        with pytest.raises(TypeError):
            warper(*shapes)


@pytest.mark.parametrize("shapes", [([3, 0], [3]), ([3], [0]), ([3], [-1])])
def test_sizes_are_positive(shapes):
    with pytest.raises(ValueError, match="shift.*: .*positive"):
        Shift(*shapes)


# AffineGridWarper.


def test_identity_gives_pixels(mode):
    module = snt.AffineGridWarper([3, 3], [3, 3])
    grid = mode.run(module, np.array([IDENTITY], np.float32))
    assert grid.shape == (1, 3, 3, 2)
    points = [tuple(point) for point in grid[0].reshape(-1, 2)]
    assert points[:4] == [(0, 0), (1, 0), (2, 0), (0, 1)]
    module = snt.AffineGridWarper([4, 7], [4, 7])
    grid = mode.run(module, np.array([IDENTITY]))
    y, x = np.mgrid[:4, :7]
    np.testing.assert_allclose(grid[0], np.stack([x, y], axis=-1), 1e-12, 1e-12)


@pytest.mark.parametrize(
    ("source_shape", "output_shape", "constraints"),
    [
        ([5, 4], [3, 2], None),
        ([5, 4], [5, 4], Constraints.no_shear_2d()),
        ([5, 4], [3, 2], Constraints.scale_2d(x=2, y=0.5)),
        ([5, 4], [3, 2], [[1, 0, 0.5], [N, N, N]]),
        ([5, 4], [3, 2], [[N, N, N], [0.3, 1, 0]]),
        ([5, 4], [3, 2], [[1, N, 0], [0, 1, 0]]),
        ([5, 4], [3], None),
        ([5, 4], [1, 2], None),
        ([5, 4], [], None),
        ([6], [4], None),
        ([5, 4, 3], [3, 2], Constraints.translation_3d(z=0.2)),
        ([5, 4, 3], [2], None),
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_maps_each_point(source_shape, output_shape, constraints, dtype, mode):
    module = snt.AffineGridWarper(source_shape, output_shape, constraints)
    rows = module.constraints
    assert type(rows) is Constraints
    parameters = RNG.normal(size=[3, rows.num_free_params])
    grid = mode.run(module, parameters.astype(dtype), unknown_batch=True)
    expected = expected_grid(full_matrices(parameters, rows), source_shape, output_shape)
    assert grid.dtype == dtype
    tolerance = 1e-5 if dtype == "float32" else 1e-12
    np.testing.assert_allclose(grid, expected, tolerance, tolerance)
    assert module.source_shape == tuple(source_shape)
    assert module.output_shape == tuple(output_shape)
    assert module.n_coeff == len(source_shape) * (len(source_shape) + 1)
    assert module.variables == ()


entries = st.none() | st.floats(-2, 2)


@hypothesis.settings(max_examples=60, deadline=None)
@hypothesis.given(st.lists(st.integers(1, 4), min_size=1, max_size=3), st.integers(0, 3), st.data())
def test_any_warp(source_shape, rank, data):
    num_dim = len(source_shape)
    output_shape = data.draw(st.lists(st.integers(1, 4), min_size=rank, max_size=rank))
    constraints = data.draw(
        st.lists(
            st.lists(entries, min_size=num_dim + 1, max_size=num_dim + 1),
            min_size=num_dim,
            max_size=num_dim,
        )
    )
    free = sum(entry is None for row in constraints for entry in row)
    if free == 0 or rank > num_dim:
        with pytest.raises(snt.Error):
            snt.AffineGridWarper(source_shape, output_shape, constraints)
        return
    module = snt.AffineGridWarper(source_shape, output_shape, constraints, indexing="ij")
    batch = data.draw(st.integers(0, 2))
    parameters = RNG.normal(size=[batch, free])
    expected = np.zeros([0, *output_shape, num_dim])
    if batch:
        expected = expected_grid(full_matrices(parameters, constraints), source_shape, output_shape)
    np.testing.assert_allclose(module(tf.constant(parameters)), expected, 1e-9, 1e-9)


def test_three_axes_by_default_stand_in_the_order_of_sonnet_1(mode):
    identity = np.array([[1.0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0]])
    module = snt.AffineGridWarper([2, 3, 4], [2, 3, 4])
    grid = mode.run(module, identity)
    np.testing.assert_allclose(grid[0, 0, 0, 1], [0, 0, 1], 0, 1e-12)
    # The points of a grid [3, 4, 2], counted through.
    expected = [[x, y, z] for y in range(3) for x in range(4) for z in range(2)]
    np.testing.assert_allclose(grid.reshape(-1, 3), expected, 0, 1e-12)


def test_three_axes_stand_in_straight_order_if_asked_for(mode):
    shape = [2, 3, 4]
    parameters = RNG.normal(size=[2, 12])
    grid = mode.run(snt.AffineGridWarper(shape, shape, indexing="ij"), parameters)
    expected = expected_grid(parameters.reshape(2, 3, 4), shape, shape)
    np.testing.assert_allclose(grid, expected, 1e-12, 1e-12)
    with pytest.raises(ValueError, match="indexing must be"):
        snt.AffineGridWarper(shape, shape, indexing="yx")


def test_psi_has_features_offsets_and_scales():
    psi = snt.AffineGridWarper([5, 4], [3, 2], [[N, N, N], [0.5, 1, 2]]).psi
    x, y = np.array([-1, 1, -1, 1, -1, 1]), np.array([-1, -1, 0, 0, 1, 1])
    assert len(psi) == 6
    np.testing.assert_allclose(psi[0], 1.5 * np.stack([x, y, np.ones(6)]))
    assert psi[1] is None
    assert psi[2] is None
    np.testing.assert_allclose(psi[3], 2 * (0.5 * x + y + 2))
    assert psi[4:] == [1.5, 2]
    features = snt.AffineGridWarper([5, 4], [3, 2], [[N, 0, N], [0, N, N]]).psi[:2]
    assert [f.shape for f in features] == [(2, 6), (2, 6)]


def test_static_shapes():
    with tf.Graph().as_default():
        free = snt.AffineGridWarper([5, 4], [3, 2])
        fixed_row = snt.AffineGridWarper([5, 4], [3, 2], [[N, N, N], [0, 1, 0]])
        for module, size in ((free, 6), (fixed_row, 3)):
            for given in ([7, size], [None, size], [None, None], None):
                outputs = module(tf1.placeholder(tf.float32, given))
                batch = given[0] if given else None
                assert outputs.shape.as_list() == [batch, 3, 2, 2]


def test_an_unknown_number_of_parameters_is_checked_when_it_is_known():
    with tf.Graph().as_default(), tf1.Session() as session:
        parameters = tf1.placeholder(tf.float32, [None, None])
        outputs = snt.AffineGridWarper([3, 3], [3, 3])(parameters)
        assert session.run(outputs, {parameters: [IDENTITY]}).shape == (1, 3, 3, 2)
        with pytest.raises(tf.errors.InvalidArgumentError):
            session.run(outputs, {parameters: [IDENTITY + IDENTITY]})


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_short_floats(dtype, mode):
    grid = mode.run(
        lambda x: snt.AffineGridWarper([3, 3], [3, 3])(tf.cast(x, dtype)),
        np.array([IDENTITY], np.float32),
    )
    assert grid.dtype.name == dtype
    np.testing.assert_array_equal(grid[0, 1].astype("float32"), [[0, 1], [1, 1], [2, 1]])


def test_gradients_with_respect_to_parameters(mode):
    module = snt.AffineGridWarper([5, 4], [3, 2], [[N, N, 0.5], [N, 1, N]])
    parameters = RNG.normal(size=[2, 4])
    weights = RNG.normal(size=[2, 3, 2, 2])

    def gradient(x):
        if mode.in_graph:
            return tf1.gradients(tf.reduce_sum(module(x) * weights), x)[0]
        with tf.GradientTape() as tape:
            tape.watch(x)
            loss = tf.reduce_sum(module(x) * weights)
        return tape.gradient(loss, x)

    gradient = mode.run(gradient, parameters)
    for index in np.ndindex(*parameters.shape):
        step = np.zeros_like(parameters)
        step[index] = 1e-6
        up, down = mode.run(
            lambda a, b: (module(a), module(b)), parameters + step, parameters - step
        )
        slope = np.sum((up - down) * weights) / 2e-6
        np.testing.assert_allclose(gradient[index], slope, 1e-7)


def test_sizes_must_suit_the_constraints(mode):
    module = snt.AffineGridWarper([3, 3], [3, 3], Constraints.no_shear_2d())
    message = "not consistent with constraint definition: got 6 parameters, but 4 are free"
    with pytest.raises(snt.Error, match=message):
        mode.run(module, np.array([IDENTITY], np.float32))
    with pytest.raises(snt.Error, match=message):
        mode.run(module.inverse(), np.array([IDENTITY], np.float32))
    for shape in ((4,), (1, 4, 1)):
        with pytest.raises(snt.IncompatibleShapeError, match=r"\[batch, 4\]"):
            mode.run(module, np.zeros(shape, np.float32))
    with pytest.raises(TypeError, match="affine_grid_warper: .*floating-point"):
        mode.run(module, np.zeros([1, 4], np.int32))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (([3, 3], [3, 3], [[1, 0, 0], [0, 1, 0]]), snt.Error, "Transformation is fully constrain"),
        (([3, 3], [3, 3], [[1, 0]]), snt.Error, "fully constrained"),
        (([3, 3], [3, 3], [[N, 0]]), snt.Error, "Incompatible set of constraints provided"),
        (([3, 3], [3] * 3, Constraints.no_shear_3d()), snt.Error, "Incompatible set of constr"),
        (([3, 3], [3] * 3, [[N, N]] * 2), ValueError, "matrix"),
        ((3, [3], [1, 2]), TypeError, "nested iterable"),
        ((3, [3]), TypeError, "len"),
    ],
)
def test_arguments_are_checked_before_the_name_is_taken(arguments, error, message):
    with tf.Graph().as_default():
        with pytest.raises(error, match=message):
            snt.AffineGridWarper(*arguments)
        assert snt.AffineGridWarper([3, 3], [3, 3]).scope_name == "affine_grid_warper"
        with pytest.raises(snt.Error, match="Output domain"):
            snt.AffineGridWarper([3, 3], [3, 3, 3])
        assert snt.AffineGridWarper([3, 3], [3, 3]).scope_name == "affine_grid_warper_2"


# Inverse.


@pytest.mark.parametrize(
    "constraints",
    [
        None,
        Constraints.no_shear_2d(),
        Constraints.scale_2d(1.5, 2),
        [[2, 0.5, N], [0, 1, N]],
        [[N, 0, 0], [0, 1, 0]],
    ],
)
def test_inverse(constraints, mode):
    module = snt.AffineGridWarper([5, 4], [3, 2], constraints)
    inverse = module.inverse()
    assert inverse.module_name == "affine_grid_warper_inverse"
    assert isinstance(inverse, snt.Module)
    parameters = RNG.uniform(0.5, 1.5, size=[3, module.constraints.num_free_params])
    grid = mode.run(inverse, parameters, unknown_batch=True)
    matrices = full_matrices(parameters, module.constraints)
    square, shift = matrices[:, :, :2], matrices[:, :, 2:]
    inverted = np.linalg.inv(square)
    inverted = np.concatenate([inverted, -inverted @ shift], axis=2)
    np.testing.assert_allclose(grid, expected_grid(inverted, [3, 2], [5, 4]), 1e-9, 1e-9)
    assert module.inverse(name="back").module_name == "back"
    with tf.Graph().as_default():
        static = module.inverse()(tf1.placeholder(tf.float32, [None, parameters.shape[1]]))
        assert static.shape.as_list() == [None, 5, 4, 2]


def test_there_and_back(mode):
    """A point of the grid that is mapped, and mapped back, is where it was."""
    warper = snt.AffineGridWarper([9, 9], [9, 9])
    parameters = np.array([[0.0, 0.5, 0.25, -0.5, 0.0, -0.5]])
    there, back = mode.run(lambda x: (warper(x), warper.inverse()(x)), parameters)
    x, y = (there[0, 2, 6] + 1e-9).astype(int)
    np.testing.assert_allclose(there[0, 2, 6], [x, y], 0, 1e-9)
    np.testing.assert_allclose(back[0, y, x], [6, 2], 0, 1e-9)


def test_a_matrix_without_inverse_is_not_guarded_against(mode):
    module = snt.AffineGridWarper([3, 3], [3, 3], Constraints.scale_2d(0, 0))
    grid = mode.run(module.inverse(), np.zeros([1, 4]))
    assert not np.isfinite(grid).any()


@pytest.mark.parametrize(
    ("source_shape", "output_shape"), [([3, 3, 3], [3, 3, 3]), ([3], [3]), ([3, 3], [3])]
)
def test_inverse_is_for_two_dimensions(source_shape, output_shape):
    module = snt.AffineGridWarper(source_shape, output_shape)
    with pytest.raises(tf.errors.UnimplementedError, match="affine_grid_warper.*two dimensions"):
        module.inverse()


def test_ops_are_those_of_the_formula():
    def bare(parameters):
        x = tf.matmul(parameters[0], tf.zeros([3, 9])) + tf.zeros([9])
        y = tf.matmul(parameters[1], tf.zeros([3, 9])) + tf.zeros([9])
        return tf.reshape(tf.stack([x, y], 2), [-1, 3, 3, 2])

    counts = []
    for connect in (
        snt.AffineGridWarper([3, 3], [3, 3]),
        lambda inputs: bare(tf.split(inputs, [3, 3], axis=1)),
    ):
        with tf.Graph().as_default() as graph:
            connect(tf1.placeholder(tf.float32, [None, 6]))
            counts.append(sorted(op.type for op in graph.get_operations()))
    assert counts[0] == counts[1]

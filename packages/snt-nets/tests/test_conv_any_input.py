"""Whatever comes in, a convolution gives an answer of the right shape or a named error."""

import numpy as np
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

import sonnet as snt

PADDINGS = st.sampled_from([snt.SAME, snt.VALID, snt.FULL, snt.CAUSAL, snt.REVERSE_CAUSAL])
small = st.integers(0, 4)
padded = {
    "kernel_shape": st.integers(1, 4),
    "stride": st.integers(1, 3),
    "padding": PADDINGS,
    "padding_value": st.sampled_from(
        [snt.CONSTANT_PADDING, snt.REFLECT_PADDING, snt.SYMMETRIC_PADDING]
    ),
    "use_bias": st.booleans(),
}
dilated = {**padded, "stride": st.just(1), "rate": st.integers(1, 3)}
transposed = {
    "kernel_shape": st.integers(1, 4),
    "stride": st.integers(1, 3),
    "padding": st.sampled_from([snt.SAME, snt.VALID]),
    "output_shape": st.none() | st.integers(1, 9),
}
modules = st.one_of(
    *(
        st.builds(make, small, **options)
        for options in (padded, dilated)
        for make in (snt.Conv1D, snt.Conv2D, snt.Conv3D)
    ),
    *(
        st.builds(make, small, **transposed)
        for make in (snt.Conv1DTranspose, snt.Conv2DTranspose, snt.Conv3DTranspose)
    ),
    *(
        st.builds(make, st.integers(1, 3), **padded)
        for make in (snt.DepthwiseConv1D, snt.DepthwiseConv2D)
    ),
    *(
        st.builds(make, small, st.integers(1, 3), **options)
        for options in (padded, dilated)
        for make in (snt.SeparableConv1D, snt.SeparableConv2D)
    ),
    st.builds(snt.InPlaneConv2D, **padded),
)
shapes = st.lists(st.integers(0, 5), max_size=6).map(tuple)
dtypes = st.sampled_from(
    ["float16", "bfloat16", "float32", "float64", "int32", "bool", "complex64"]
)


@settings(max_examples=200, deadline=None)
@given(modules, shapes, dtypes, st.booleans())
def test_any_input_gives_an_answer_or_a_named_error(module, shape, dtype, fit):
    rank = len(module.data_format)
    if fit:  # otherwise most would fail for the rank
        shape = (shape + (2,) * rank)[:rank]
    inputs = tf.constant(np.zeros(shape, tf.as_dtype(dtype).as_numpy_dtype))
    try:
        outputs = module(inputs)
    except (snt.Error, TypeError, ValueError, tf.errors.OpError) as error:
        assert str(error)  # noqa: PT017
        return
    assert len(shape) == rank
    assert outputs.dtype == inputs.dtype
    assert outputs.shape.rank == rank
    assert (outputs.shape[0], outputs.shape[-1]) == (shape[0], module.output_channels)
    np.testing.assert_array_equal(tf.cast(outputs, tf.float32), np.zeros(outputs.shape))

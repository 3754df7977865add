"""Layers in a program that has `tf.compat.v1.disable_v2_behavior()`.

Shapes have entries of type `Dimension` there, variables are reference variables, and branches are
not functions.
"""

import numpy as np
import pytest

from tests.support.processes import run_program

PROGRAM = """
import json
import numpy as np
import tensorflow.compat.v1 as tf
import sonnet as snt

tf.disable_v2_behavior()
images = tf.placeholder(tf.float32, [None, None, 6, 4])
training = tf.placeholder(tf.bool, [])
values = np.random.default_rng(0).normal(1, 2, [3, 5, 6, 4])
feed = {images: values}
shapes = {}
for module in (
    snt.LayerNorm(), snt.GroupNorm(2), snt.InstanceNorm(), snt.RMSNorm(), snt.MergeDims(1, 2),
    snt.MergeDims(0, 2), snt.SliceByDim([1, -1], [0, 1], [2, -1]), snt.TileByDim([1], [2]),
    snt.SelectInput(0),
):
    shapes[module.module_name] = module(images).shape.as_list()
shapes["dropout"] = snt.Dropout()(images, training).shape.as_list()
pair = [tf.placeholder(tf.float32, [None, size]) for size in (3, 4)]
shapes["concat_linear"] = snt.ConcatLinear(2)(pair).shape.as_list()
shapes["matrix"] = snt.BlockTriangularMatrix((1, 1), 2)(pair[0]).shape.as_list()
embed = snt.Embed(5, 3, densify_gradients=True)
shapes["embed"] = embed(tf.placeholder(tf.int32, [None])).shape.as_list()
shapes["from existing"] = snt.Embed(existing_vocab=tf.ones([5, 3])).embed_dim
gradient = tf.gradients(
    snt.scale_gradient(pair[0], 0.5) + snt.clip_gradient(pair[0], -1, 0.25), pair[0]
)
means = {}
for name, make in {
    "BatchNorm": lambda: snt.BatchNorm(update_ops_collection=None, decay_rate=0.5),
    "BatchNormV2": lambda: snt.BatchNormV2(decay_rate=0.5),
    "BatchNormV2, not fused": lambda: snt.BatchNormV2(fused=False, decay_rate=0.5),
}.items():
    module = make()
    outputs = module(images, training)
    shapes[name] = outputs.shape.as_list()
    gradients = tf.gradients(tf.reduce_sum(outputs**2), module.trainable_variables)
    with tf.Session() as session:
        session.run(tf.global_variables_initializer())
        found = []
        for flag in (False, True, False):
            session.run([outputs, gradients], {**feed, training: flag})
            found.append(np.ravel(session.run(module._moving_mean)).tolist())
    means[name] = found
with tf.Session() as session:
    gradient = session.run(gradient, {pair[0]: np.ones([1, 3])})[0].tolist()
kinds = sorted({v.op.type for v in tf.global_variables()})
mean = values.mean((0, 1, 2)).tolist()
print(json.dumps(dict(shapes=shapes, means=means, mean=mean, gradient=gradient, kinds=kinds)))
"""


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    program = tmp_path_factory.mktemp("program") / "program.py"
    program.write_text(PROGRAM)
    return run_program(program)


def test_static_shapes(found):
    images = [None, None, 6, 4]
    assert found["kinds"] == ["VariableV2"]
    assert found["shapes"] == {
        **dict.fromkeys(["layer_norm", "group_norm", "instance_norm", "rms_norm"], images),
        **dict.fromkeys(["select_input", "dropout"], images),
        **dict.fromkeys(["BatchNorm", "BatchNormV2", "BatchNormV2, not fused"], images),
        "merge_dims": [None, None, 4],
        "merge_dims_1": [None, 6, 4],
        "slice_by_dim": [None, 2, 6, 3],
        "tile_by_dim": [None, None, 6, 4],
        "concat_linear": [None, 2],
        "matrix": [None, 2, 2],
        "embed": [None, 3],
        "from existing": 3,
    }


def test_gradients(found):
    assert found["gradient"] == [[0.75, 0.75, 0.75]]


@pytest.mark.parametrize("name", ["BatchNorm", "BatchNormV2", "BatchNormV2, not fused"])
def test_moving_averages_follow_the_flag(name, found):
    half = np.array(found["mean"]) / 2
    np.testing.assert_allclose(found["means"][name], [half * 0, half, half], 1e-5)

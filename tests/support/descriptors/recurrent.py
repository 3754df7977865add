"""The recurrent cores, one line each."""

from __future__ import annotations

from typing import Any

import tensorflow as tf
import tensorflow.compat.v1 as tf1

import sonnet as snt
from tests.support.descriptors.descriptor import Descriptor

Shapes = dict[str, tuple[int, ...]]

THREE = tf.TensorShape([3])
LSTM_STATE = snt.LSTMState(THREE, THREE)

# A variable of 32 bits is beside inputs of 16.
LARGE_DTYPES = ("float32", "float64")


def _lstm(scope: str = "", inputs: int = 4) -> Shapes:
    """Variables of an `LSTM(3)`."""
    return {f"{scope}w_gates": (inputs + 3, 12), f"{scope}b_gates": (12,)}


def _gru(scope: str = "", inputs: int = 4, size: int = 3) -> Shapes:
    """Variables of a `GRU`."""
    return {
        f"{scope}{kind}{gate}": shape
        for gate in "zrh"
        for kind, shape in (("w", (inputs, size)), ("u", (size, size)), ("b", (size,)))
    }


def _highway(scope: str = "") -> Shapes:
    """Variables of a `HighwayCore(3, 2)`."""
    return {
        f"{scope}{name}": shape
        for gate in ("wt", "wh")
        for name, shape in (
            (gate, (4, 3)),
            *((f"{gate}{i}", (3, 3)) for i in range(2)),
            *((f"b{gate[1]}{i}", (3,)) for i in range(2)),
        )
    }


def _batch_norm_lstm(*stats: str) -> Shapes:
    """Variables of a `BatchNormLSTM(3)` that keeps these statistics."""
    return {
        "batch_norm_lstm/w_gates_H": (3, 12),
        "batch_norm_lstm/w_gates_X": (4, 12),
        "batch_norm_lstm/b_gates": (12,),
        "batch_norm_lstm/gamma_h": (12,),
        **{
            f"batch_norm_h/{name}/{moment}": (1, 12)
            for name in stats
            for moment in ("moving_mean", "moving_variance")
        },
    }


def _conv_lstm(*kernel: int) -> Shapes:
    """Variables of a convolutional LSTM from 2 to 3 channels."""
    return {
        "conv/w": (*kernel, 2, 12),
        "conv/b": (12,),
        "conv_1/w": (*kernel, 3, 12),
        "conv_1/b": (12,),
    }


RELATIONAL_MEMORY: Shapes = {
    f"{layer}/{name}": shape
    for layer, *sizes in (
        ("linear", 4, 6),
        ("linear_1", 6, 18),
        ("mlp/linear_0", 6, 6),
        ("mlp/linear_1", 6, 6),
        ("linear_2", 6, 12),
        ("linear_3", 6, 12),
    )
    for name, shape in (("w", tuple(sizes)), ("b", tuple(sizes[1:])))
} | {
    f"{layer}/{name}": (size,)
    for layer, size in (("layer_norm", 18), ("layer_norm_1", 6), ("layer_norm_2", 6))
    for name in ("gamma", "beta")
}


class _Cell:
    """A cell that is no module, as other libraries have them."""

    state_size = output_size = 3

    def __call__(self, inputs: Any, state: Any) -> tuple[Any, Any]:
        inputs = tf.ensure_shape(tf.convert_to_tensor(inputs), [None, None])
        with tf1.variable_scope("cell"):
            w = tf1.get_variable("w", [inputs.shape[-1], 3], dtype=inputs.dtype)
        outputs = tf.tanh(tf.matmul(inputs, w) + state)
        return outputs, outputs


def _time_second(tensor: Any) -> Any:
    return tf.transpose(tensor, [1, 0, *range(2, len(tensor.shape))])


def _over_time(module: Any, inputs: Any, state: Any) -> Any:
    """Calls a module whose inputs and outputs have time before the batch."""
    return tf.nest.map_structure(_time_second, module(tf.transpose(inputs, [1, 0, 2]), state))


CORES = [
    Descriptor("LSTM", lambda: snt.LSTM(3), (5, 4), _lstm(), state=LSTM_STATE),
    Descriptor(
        "LSTM-peepholes",
        lambda: snt.LSTM(3, use_peepholes=True),
        (5, 4),
        {**_lstm(), "w_f_diag": (3,), "w_i_diag": (3,), "w_o_diag": (3,)},
        state=LSTM_STATE,
    ),
    Descriptor(
        "LSTM-layer-norm",
        lambda: snt.LSTM(3, use_layer_norm=True),
        (5, 4),
        {**_lstm(), "layer_norm/gamma": (12,), "layer_norm/beta": (12,)},
        dtypes=LARGE_DTYPES,
        state=LSTM_STATE,
    ),
    Descriptor(
        "LSTM-projection",
        lambda: snt.LSTM(3, projection_size=2),
        (5, 4),
        {"w_gates": (6, 12), "b_gates": (12,), "w_h_projection": (3, 2)},
        state=snt.LSTMState(tf.TensorShape([2]), THREE),
    ),
    Descriptor(
        "LSTM-clipped",
        lambda: snt.LSTM(3, hidden_clip_value=0.5, cell_clip_value=0.7),
        (5, 4),
        _lstm(),
        state=LSTM_STATE,
    ),
    Descriptor("GRU", lambda: snt.GRU(3), (5, 4), _gru(), state=THREE),
    Descriptor(
        "VanillaRNN",
        lambda: snt.VanillaRNN(3),
        (5, 4),
        {
            f"{layer}/{name}": shape
            for layer, size in (("in_to_hidden", 4), ("hidden_to_hidden", 3))
            for name, shape in (("w", (size, 3)), ("b", (3,)))
        },
        state=THREE,
    ),
    Descriptor("HighwayCore", lambda: snt.HighwayCore(3, 2), (5, 4), _highway(), state=THREE),
    Descriptor(
        "Conv1DLSTM",
        lambda: snt.Conv1DLSTM(input_shape=(6, 2), output_channels=3, kernel_shape=3),
        (5, 6, 2),
        _conv_lstm(3),
        state=(tf.TensorShape([6, 3]),) * 2,
    ),
    Descriptor(
        "Conv2DLSTM",
        lambda: snt.Conv2DLSTM(
            input_shape=(3, 4, 2), output_channels=3, kernel_shape=2, use_layer_norm=True
        ),
        (5, 3, 4, 2),
        {**_conv_lstm(2, 2), "layer_norm/gamma": (144,), "layer_norm/beta": (144,)},
        dtypes=LARGE_DTYPES,
        state=(tf.TensorShape([3, 4, 3]),) * 2,
    ),
    Descriptor(
        "BatchNormLSTM",
        lambda: snt.BatchNormLSTM(3).with_batch_norm_control(
            is_training=False, test_local_stats=False
        ),
        (5, 4),
        _batch_norm_lstm("batch_norm"),
        own_scope=False,
        dtypes=LARGE_DTYPES,
        state=(THREE, THREE),
    ),
    Descriptor(
        "BatchNormLSTM-training",
        lambda: snt.BatchNormLSTM(3).with_batch_norm_control(is_training=True),
        (5, 4),
        _batch_norm_lstm("batch_norm"),
        own_scope=False,
        dtypes=LARGE_DTYPES,
        state=(THREE, THREE),
        stateful=True,
        per_example=False,
    ),
    Descriptor(
        "BatchNormLSTM-statistics-of-steps",
        lambda: snt.BatchNormLSTM(3, max_unique_stats=2).with_batch_norm_control(
            is_training=False, test_local_stats=False
        ),
        (5, 4),
        _batch_norm_lstm("batch_norm", "batch_norm_1"),
        own_scope=False,
        dtypes=LARGE_DTYPES,
        state=(THREE, THREE, tf.TensorSpec([], tf.int32)),
    ),
    Descriptor(
        "RelationalMemory",
        lambda: snt.RelationalMemory(mem_slots=2, head_size=3, num_heads=2),
        (5, 4),
        RELATIONAL_MEMORY,
        dtypes=LARGE_DTYPES,
        state=tf.TensorShape([2, 6]),
    ),
    Descriptor(
        "ACTCore",
        lambda: snt.ACTCore(snt.LSTM(3, name="inner"), 2, 0.7, lambda state: state.hidden),
        (5, 4),
        {
            **_lstm("inner/", inputs=5),
            "act_core/halting_linear/w": (3, 1),
            "act_core/halting_linear/b": (1,),
            "act_core/act_output_linear/w": (3, 2),
            "act_core/act_output_linear/b": (2,),
        },
        own_scope=False,
        state=LSTM_STATE,
    ),
    Descriptor(
        "DeepRNN",
        lambda: snt.DeepRNN(
            [snt.LSTM(3, name="first"), snt.Linear(3, name="between"), snt.GRU(2, name="last")],
            skip_connections=False,
        ),
        (5, 4),
        {
            **_lstm("first/"),
            "between/w": (3, 3),
            "between/b": (3,),
            **_gru("last/", inputs=3, size=2),
        },
        own_scope=False,
        state=(LSTM_STATE, tf.TensorShape([2])),
    ),
    Descriptor(
        "DeepRNN-with-skips",
        lambda: snt.DeepRNN([snt.LSTM(3, name="first"), snt.GRU(2, name="last")]),
        (5, 4),
        {**_lstm("first/"), **_gru("last/", inputs=7, size=2)},
        own_scope=False,
        state=(LSTM_STATE, tf.TensorShape([2])),
    ),
    Descriptor(
        "ResidualCore",
        lambda: snt.ResidualCore(snt.GRU(4, name="inner")),
        (5, 4),
        _gru("inner/", size=4),
        own_scope=False,
        state=tf.TensorShape([4]),
    ),
    Descriptor(
        "SkipConnectionCore",
        lambda: snt.SkipConnectionCore(snt.GRU(3, name="inner"), input_shape=(4,)),
        (5, 4),
        _gru("inner/"),
        own_scope=False,
        state=THREE,
    ),
    Descriptor(
        "RNNCellWrapper",
        lambda: snt.RNNCellWrapper(_Cell),
        (5, 4),
        {"cell/w": (4, 3)},
        state=THREE,
    ),
    Descriptor(
        "LSTMBlockCell",
        lambda: snt.LSTMBlockCell(3, cell_clip=0.7, use_peephole=True),
        (5, 4),
        {
            "lstm_cell/kernel": (7, 12),
            "lstm_cell/bias": (12,),
            **{f"lstm_cell/w_{gate}_diag": (3,) for gate in "ifo"},
        },
        state=snt.LSTMBlockCell(3).state_size._replace(c=THREE, h=THREE),
    ),
    Descriptor(
        "ModelRNN",
        lambda: snt.ModelRNN(snt.Linear(3, name="model")),
        (5, 4),
        {"model/w": (3, 3), "model/b": (3,)},
        own_scope=False,
        state=THREE,
    ),
    Descriptor(
        "recurrent-dropout",
        lambda: snt.lstm_with_recurrent_dropout(3)[0],
        (5, 4),
        _lstm("lstm/"),
        own_scope=False,
        state=(LSTM_STATE, [THREE]),  # the mask is part of the state
    ),
    Descriptor(
        "highway-recurrent-dropout",
        lambda: snt.highway_core_with_recurrent_dropout(3, 2)[0],
        (5, 4),
        _highway("highwaycore/"),
        own_scope=False,
        state=(THREE, [THREE]),
    ),
    Descriptor(
        "zoneout",
        lambda: snt.lstm_with_zoneout(3)[1],
        (5, 4),
        _lstm("lstm/"),
        own_scope=False,
        state=LSTM_STATE,
    ),
    Descriptor(
        "zoneout-training",
        lambda: snt.lstm_with_zoneout(3)[0],
        (5, 4),
        _lstm("lstm/"),
        own_scope=False,
        state=LSTM_STATE,
        random=True,
    ),
]

SEQUENCE_MODULES = [
    Descriptor(
        "BidirectionalRNN",
        lambda: snt.BidirectionalRNN(snt.LSTM(3, name="there"), snt.GRU(2, name="back")),
        (5, 3, 4),
        {**_lstm("there/"), **_gru("back/", size=2)},
        own_scope=False,
        state=(LSTM_STATE, tf.TensorShape([2])),
        call=_over_time,
    ),
]

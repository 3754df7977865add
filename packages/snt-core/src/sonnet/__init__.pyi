# The public names of Sonnet, one a line, each with the module that owns it. This is the one table
# of them: `__init__.py` reads these lines (each whole, on one line) and gives the same names at run
# time; the first component of a module says which package to install.

from snt_core import custom_getters as custom_getters
from snt_core import experimental as experimental
from snt_core import nest as nest
from snt_core.checks import check_initializers as check_initializers
from snt_core.checks import check_partitioners as check_partitioners
from snt_core.checks import check_regularizers as check_regularizers
from snt_core.connections import SONNET_COLLECTION_NAME as SONNET_COLLECTION_NAME
from snt_core.connections import observe_connections as observe_connections
from snt_core.custom_getters.router import custom_getter_router as custom_getter_router
from snt_core.deprecation import deprecation_warning as deprecation_warning
from snt_core.errors import DifferentGraphError as DifferentGraphError
from snt_core.errors import Error as Error
from snt_core.errors import IncompatibleShapeError as IncompatibleShapeError
from snt_core.errors import ModuleInfoError as ModuleInfoError
from snt_core.errors import NotConnectedError as NotConnectedError
from snt_core.errors import NotInitializedError as NotInitializedError
from snt_core.errors import NotSupportedError as NotSupportedError
from snt_core.errors import ParentNotBuiltError as ParentNotBuiltError
from snt_core.errors import UnderspecifiedError as UnderspecifiedError
from snt_core.function_module import Module as Module
from snt_core.initializers import restore_initializer as restore_initializer
from snt_core.introspection import parse_string_to_constructor as parse_string_to_constructor
from snt_core.introspection import remove_unsupported_kwargs as remove_unsupported_kwargs
from snt_core.introspection import supports_kwargs as supports_kwargs
from snt_core.module import AbstractModule as AbstractModule
from snt_core.regularizers import l1_regularizer as l1_regularizer
from snt_core.regularizers import l2_regularizer as l2_regularizer
from snt_core.regularizers import sum_regularizer as sum_regularizer
from snt_core.reporting import count_variables_by_type as count_variables_by_type
from snt_core.reporting import format_variable_map as format_variable_map
from snt_core.reporting import format_variables as format_variables
from snt_core.reporting import log_variables as log_variables
from snt_core.reporting import summarize_variables as summarize_variables
from snt_core.reuse import reuse_variables as reuse_variables
from snt_core.transposable import Transposable as Transposable
from snt_core.variables import get_normalized_variable_map as get_normalized_variable_map
from snt_core.variables import get_saver as get_saver
from snt_core.variables import get_variables_in_module as get_variables_in_module
from snt_core.variables import get_variables_in_scope as get_variables_in_scope
from snt_core.variables import has_variable_scope as has_variable_scope
from snt_core.variables import variable_map_items as variable_map_items
from snt_nets import nets as nets
from snt_nets.add_bias import AddBias as AddBias
from snt_nets.batch_apply import BatchApply as BatchApply
from snt_nets.batch_apply import merge_leading_dims as merge_leading_dims
from snt_nets.batch_apply import split_leading_dim as split_leading_dim
from snt_nets.linear import Linear as Linear
from snt_nets.reshape import BatchFlatten as BatchFlatten
from snt_nets.reshape import BatchReshape as BatchReshape
from snt_nets.reshape import FlattenTrailingDimensions as FlattenTrailingDimensions
from snt_nets.sequential import Sequential as Sequential
from snt_nets.trainable_variable import TrainableVariable as TrainableVariable

from . import python as python

__version__: str

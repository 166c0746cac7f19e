"""Every option of the command line once, with its name, range and help. No defaults in here.

A module holds a family; each option is used as `options.NAME` in the signatures of the commands. The settings of a
training are declared in learn/recipe.py and added to a signature by options/recipe.py, which queries never import.
"""

from dmlcli.options.catalog import *
from dmlcli.options.embed import *
from dmlcli.options.eval import *
from dmlcli.options.index import *
from dmlcli.options.models import *
from dmlcli.options.network import *
from dmlcli.options.paths import *
from dmlcli.options.query import *
from dmlcli.options.run import *
from dmlcli.options.serve import *
from dmlcli.options.sweep import *

"""The vocabulary of the command line: every option once, with its spelling, range and help. No defaults in here.

A room holds a family; what is written in one is called `options.NAME` in the signatures of the verbs.
"""

from dmlcli.options.catalog import *
from dmlcli.options.embed import *
from dmlcli.options.eval import *
from dmlcli.options.index import *
from dmlcli.options.network import *
from dmlcli.options.optimization import *
from dmlcli.options.paths import *
from dmlcli.options.query import *
from dmlcli.options.run import *
from dmlcli.options.sampling import *

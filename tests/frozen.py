"""Imported last by a process that others are forked from: what it holds by then is looked through in none of them.

To look for garbage there would take a second each time, and a copy of all that is shared.
"""

import atexit
import gc
import os

gc.set_threshold(100_000, 20, 20)
gc.freeze()
atexit.register(os._exit, 0)  # without the complaint of a library that all of its objects are still there

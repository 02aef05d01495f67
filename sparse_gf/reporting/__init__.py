"""Tables, figures and pages, from result rows alone.

``rows`` are one row per network, as ``results.read`` gives them, and ``measurements``
one row per network and measured epoch, as ``results.read_measurements`` does;
``analyses`` are what ``analyse`` found of saved networks. The latter two are None where
there are none. ``folder`` is that of a report, and ``axis`` is ``figures.WIDTH`` or
``figures.DENSITY``.
"""

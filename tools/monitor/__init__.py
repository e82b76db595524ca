"""The monitor: a web page that shows, live, how many connections each service holds.

The package imports only its own modules, relatively, so that it also runs where it was copied to
under the name `monitor`.
"""

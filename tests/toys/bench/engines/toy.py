"""A toy engine: the toy family in plain JavaScript, half floats alone."""

from bench.engines.native import Native
from bench.errors import InputError


class Toy(Native):
    title = "plain JavaScript"

    def check(self, request, program):
        if program.family != "toy" or request.bits != 16:
            raise InputError(
                f"engine toy for {request.model} at {request.bits} bits: it runs the toy family at 16 "
                "bits only"
            )

    def modules(self, platform):
        return ("toy/*.js",)

    def shaders(self, platform):
        return False

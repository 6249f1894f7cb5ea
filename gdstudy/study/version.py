"""The version of the package, by SemVer; what is built, and what every part of a store says, is read from here."""

__version__ = "0.8.4"

"""The three things that go wrong, each a `ValueError` with one sentence that says what to do."""


class BertsmithError(ValueError):
    """Base of the package's errors; the command line prints its text alone and exits with 2."""


class ConfigError(BertsmithError):
    """A setting, a recipe or a command-line value that cannot work."""


class DataError(BertsmithError):
    """Input text, records or shards that cannot be read as what they should be."""


class CheckpointError(BertsmithError):
    """A model folder, vocabulary or checkpoint that is missing, damaged or does not fit."""

"""The error of the data layer."""


class DataError(ValueError):
    """Something in a data set cannot be used. The message names the file or record, and what to do."""

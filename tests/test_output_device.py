"""Outputs to devices: an error that none of them expects."""

from contextlib import closing

from vidstyle.live.output_device import OutputDevice


class Broken(OutputDevice):
    """An output whose device raises an error that its class does not expect."""

    kind = "test output"

    def _connect(self, size):
        raise AttributeError("no such method")


def test_output_device_tells_of_an_unexpected_error(caplog):
    with closing(Broken((64, 48), 25, None)) as output:
        output.open(None)
        output._thread.join()
        assert "the session goes on without its test output" in caplog.text
        assert "no such method" in caplog.text

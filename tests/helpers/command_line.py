"""The command line called in this process."""

from ltbench.cli.app import main


def call_main(capfd, arguments):
    """Return the exit code, standard output and standard error of a command, which never shows a traceback."""
    code = 0
    try:
        main([str(argument) for argument in arguments])
    except SystemExit as end:
        code = end.code or 0
    out = capfd.readouterr()
    assert "Traceback" not in out.out + out.err
    return code, out.out, out.err

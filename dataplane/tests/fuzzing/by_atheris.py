"""One target under libFuzzer, guided by coverage: `python -m fuzzing.by_atheris NAME INPUTS`."""

import sys
import tempfile
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["inferway_dataplane.core", "inferway_contract.paths"]):
    from fuzzing import targets
    from fuzzing.run import TICK

_EVERY = 5_000


def main(name: str, inputs: int) -> None:
    """End the process: with 0 after `inputs` inputs, or with libFuzzer's code after it has printed the failing input."""
    target = targets.by_name(name)
    done = 0

    def feed(data: bytes) -> None:
        nonlocal done
        done += 1
        if done % _EVERY == 0:
            sys.stdout.write(f"{TICK}{done}\n")
            sys.stdout.flush()
        target.check(data)

    with tempfile.TemporaryDirectory() as folder:
        dictionary, seeds = Path(folder, "words"), Path(folder, "seeds")
        seeds.mkdir()
        lines = ['"' + "".join(f"\\x{byte:02x}" for byte in word) + '"' for word in target.words]
        dictionary.write_text("\n".join(lines) + "\n")
        for number, word in enumerate(target.words):
            (seeds / str(number)).write_bytes(word)
        flags = [
            f"-atheris_runs={inputs}",
            f"-dict={dictionary}",
            "-max_len=256",
            "-verbosity=0",
            f"-artifact_prefix={folder}/",
        ]
        atheris.Setup([sys.argv[0], *flags, str(seeds)], feed)
        atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))

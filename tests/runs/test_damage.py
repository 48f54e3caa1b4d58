"""One flipped bit, anywhere in a run: it is named, and no number is another one."""

import collections

import numpy as np
import pytest

from tests.experiments import pretraining
from tests.runs import toy

DBN = "--epochs 2 --batch-size 85 --layers 64 8 6 --sample-steps 4".split()


def small_dbn(workdir):
    """The exit status of one run of a real program, of seconds."""
    return pretraining.start("dbn_mnist", workdir, *DBN)


def flip_everywhere(start, states, folder, capsys, *, rounds=1):
    """Flips a random bit in random files of every kind, and gives the same command
    again.

    Args:
      states: after how many checkpoints the run stopped; None: at its end.

    Returns:
      The number of flips, by kind of file and by what came of them.
    """
    rng, counts = np.random.default_rng(0), collections.Counter()
    assert start(folder / "whole") == 0
    for state in states:
        source = folder / f"after {state}" if state else folder / "whole"
        if state:
            with pretraining.crash_after(state):
                start(source)
        for kind, files in kinds(source).items():
            for _ in range(rounds):
                toy.copy(source, folder / "run")
                file = files[rng.integers(len(files))]
                flip(folder / "run" / file, rng)
                capsys.readouterr()
                status = start(folder / "run")
                said = capsys.readouterr()
                lines = [x for x in said.out.splitlines() if x.startswith("warning: ")]
                if status == 0:
                    # A seal that changed makes another file unsound, or none: of a
                    # file that was replaced it keeps the old checksum too.
                    is_named = any(str(file) in line for line in lines)
                    assert is_named or file.name == "checksums.json", file
                    assert toy.numbers(folder / "run") == toy.numbers(folder / "whole")
                else:
                    assert status == 2, file
                    assert file.name in said.err, file
                end = "healed" if status == 0 else "refused"
                counts[f"after {state}" if state else "whole", kind, end] += 1
    return counts


def kinds(workdir):
    """The files of a workdir that have content, by their kind."""
    found = {}
    for file in sorted(workdir.rglob("*")):
        name = file.relative_to(workdir)
        if file.is_file() and file.stat().st_size:
            found.setdefault(name.parts[0], []).append(name)
    return found


def flip(file, rng):
    """Flips one random bit."""
    content = bytearray(file.read_bytes())
    content[rng.integers(len(content))] ^= 1 << rng.integers(8)
    file.write_bytes(content)


def test_a_flipped_bit_is_named_and_healed(tmp_path, capsys):
    counts = flip_everywhere(toy.main, [None], tmp_path, capsys)
    assert {kind for _, kind, _ in counts} == {
        *("run.json", "config.toml", "metrics.jsonl", "parts", "results.json"),
        *("model.safetensors", "checkpoints", "figures", "checksums.json"),
    }
    assert {end for *_, end in counts} == {"healed"}


@pytest.mark.parametrize(
    ("start", "stop", "rounds"),
    [
        pytest.param(toy.main, 2, 4, marks=pytest.mark.slow, id="toy"),
        pytest.param(small_dbn, 3, 1, marks=pytest.mark.slow, id="dbn"),
        pytest.param(small_dbn, 3, 8, marks=pytest.mark.by_hand, id="dbn, 100"),
    ],
)
def test_many_flipped_bits_are_named_and_healed(start, stop, rounds, tmp_path, capsys):
    counts = flip_everywhere(start, [None, stop], tmp_path, capsys, rounds=rounds)
    with capsys.disabled():
        print(*(f"{n} {' '.join(key)}" for key, n in sorted(counts.items())), sep="\n")
    assert counts.total() >= 13 * rounds

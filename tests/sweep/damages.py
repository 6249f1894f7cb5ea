"""What can happen to a file: random damages of any file of a folder, the same for the same seed."""

import random
import shutil

KINDS = {}


def kind(damage):
    """(bytes, source of randomness) -> other bytes."""
    KINDS[damage.__name__] = damage
    return damage


@kind
def one_bit(content, draw):
    at = draw.randrange(len(content))
    return content[:at] + bytes([content[at] ^ 1 << draw.randrange(8)]) + content[at + 1 :]


@kind
def a_digit(content, draw):
    """Where there is one, it becomes another."""
    places = [at for at, byte in enumerate(content) if byte in b"0123456789"]
    if not places:
        return one_bit(content, draw)
    at = draw.choice(places)
    other = draw.choice([digit for digit in b"0123456789" if digit != content[at]])
    return content[:at] + bytes([other]) + content[at + 1 :]


@kind
def several_bytes(content, draw):
    changed = bytearray(content)
    for _ in range(draw.randint(2, 20)):
        changed[draw.randrange(len(changed))] = draw.randrange(256)
    return bytes(changed)


@kind
def zeros(content, draw):
    first = draw.randrange(len(content))
    last = min(len(content), first + draw.choice([1, 16, 512, 4096]))
    return content[:first] + bytes(last - first) + content[last:]


@kind
def cut_off(content, draw):
    return content[: draw.randrange(len(content))]


@kind
def longer(content, draw):
    return content + draw.choice([b"\0", b"\n", content, draw.randbytes(100)])


@kind
def a_line_twice(content, draw):
    lines = content.split(b"\n")
    at = draw.randrange(len(lines))
    return b"\n".join([*lines[: at + 1], lines[at], *lines[at + 1 :]])


@kind
def emptied(content, draw):
    return b""


def damage(run, seed):
    """Damage one file of a run folder, or two that are swapped. Returns (what was done, paths that it was done to)."""
    draw = random.Random(seed)
    files = sorted(path for path in run.rglob("*") if path.is_file())
    store = [path for path in files if path.parent.name == "batches" or path.name == "config.yaml"]
    path = draw.choice(store if draw.random() < 0.75 else files)
    done = draw.choice([*KINDS, "swapped", "duplicated", "removed", "taken_from_another"])
    if done == "removed":
        path.unlink()
    elif done == "swapped":
        other = draw.choice([file for file in (store if path in store else files) if file != path])
        mine, theirs = path.read_bytes(), other.read_bytes()
        path.write_bytes(theirs)
        other.write_bytes(mine)
        return done, [path, other]
    elif done == "duplicated":
        _, dot, rest = path.name.partition(".")
        names = [f"{path.name}~", f"copy of {path.name}", f"{draw.randrange(9):06d}{dot}{rest}"]
        other = path.with_name(draw.choice(names))
        if other != path:
            shutil.copyfile(path, other)
        return done, [other]
    elif done == "taken_from_another":
        shutil.copyfile(draw.choice([file for file in files if file != path]), path)
    elif changed := (content := path.read_bytes()):
        while changed == content:  # zeros may have been zeros
            changed = KINDS[done](content, draw)
        path.write_bytes(changed)
    else:
        path.write_bytes(draw.randbytes(50))
    return done, [path]

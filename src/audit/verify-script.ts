// verify.py, which is in every bundle: it checks a bundle with Python 3 and openssl only, and
// without this program. docs/AUDIT.md describes the same checks one by one.

export const verifyScript = String.raw`#!/usr/bin/env python3
"""Verifies the files beside this script. Needs Python 3.8 and openssl 3.0, and nothing else.

    python3 verify.py                     with the keys in keys/
    python3 verify.py 'name+id+base64'    and says whether keys/ holds this verifier key

Exit code 0: every file, signature, record and proof is as it was signed. A signature shows that the
owner of a key signed: compare keys/log.vkey with the key that you received in another way.
"""
import base64, datetime, glob, hashlib, json, os, subprocess, sys, tempfile

os.chdir(os.path.dirname(os.path.abspath(__file__)))
sha = lambda data: hashlib.sha256(data).digest()
node = lambda left, right: sha(b"\1" + left + right)
b64 = lambda text: base64.b64decode(text, validate=True)


def fail(text):
    sys.exit("NOT VERIFIED: " + text)


def read(path):
    with open(path, "rb") as file:
        return file.read()


def check_manifest():
    expected = json.loads(read("manifest.json"))["sha256"]
    found = {
        os.path.relpath(os.path.join(folder, name)).replace(os.sep, "/")
        for folder, _, names in os.walk(".")
        for name in names
    } - {"manifest.json"}
    if found != set(expected):
        fail("manifest.json and the folder differ: " + ", ".join(sorted(found ^ set(expected))))
    for name, digest in expected.items():
        if sha(read(name)).hex() != digest:
            fail(name + " has another SHA-256 than manifest.json says")
    print(f"{len(expected)} files have the SHA-256 that manifest.json says")


def read_keys():
    """Keys by name and id: the kind (1 signs checkpoints, 4 cosigns them), and 32 bytes."""
    keys = {}
    for path in sorted(glob.glob("keys/*.vkey")):
        for line in read(path).decode().split():
            name, key_id, text = line.split("+", 2)
            data = b64(text)
            if sha(name.encode() + b"\n" + data)[:4].hex() != key_id:
                fail(f"{path}: the id of {line} does not fit the key")
            keys[name, key_id] = data[0], data[1:]
            print("witness key:" if data[0] == 4 else "log key:    ", line)
            if len(sys.argv) > 1 and line in sys.argv[1:]:
                print("             is the key that was given")
    for given in sys.argv[1:]:
        if tuple(given.split("+", 2)[:2]) not in keys:
            fail("keys/ does not hold the key that was given: " + given)
    return keys


def is_signed(message, key, signature):
    with tempfile.TemporaryDirectory() as folder:
        paths = [os.path.join(folder, name) for name in ("message", "key", "signature")]
        key = bytes.fromhex("302a300506032b6570032100") + key
        for path, data in zip(paths, (message, key, signature)):
            with open(path, "wb") as file:
                file.write(data)
        command = ["openssl", "pkeyutl", "-verify", "-pubin", "-keyform", "DER", "-rawin"]
        command += ["-in", paths[0], "-inkey", paths[1], "-sigfile", paths[2]]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        return subprocess.run(command, **quiet).returncode == 0


checked = {}


def check_note(name, text, keys):
    """Lines of a checkpoint whose signature by a log key is valid, and its witnesses."""
    if text in checked:
        return checked[text]
    body, _, signatures = text.partition("\n\n")
    signers, witnesses = 0, []
    for line in signatures.splitlines():
        _, signer, data = line.split(" ")
        data = b64(data)
        kind, key = keys.get((signer, data[:4].hex()), (0, b""))
        message, signature = body.encode() + b"\n", data[4:]
        if kind == 4:
            time = int.from_bytes(signature[:8], "big")
            message = f"cosignature/v1\ntime {time}\n".encode() + message
            signature = signature[8:]
            utc = datetime.datetime.fromtimestamp(time, datetime.timezone.utc)
            witnesses.append(f"{signer} at {utc:%Y-%m-%d %H:%M:%S} UTC")
        if kind and not is_signed(message, key, signature):
            fail(f"{name}: the signature of {signer} is invalid")
        signers += kind == 1
    if not signers:
        fail(f"{name} is not signed by a log key in keys/")
    checked[text] = body.split("\n"), witnesses
    return checked[text]


class Tree:
    """RFC 6962: the hashes of complete subtrees, largest first."""

    def __init__(self, size=0, subtrees=()):
        self.size, self.subtrees = size, list(subtrees)

    def append(self, leaf):
        size = self.size
        while size % 2:
            leaf, size = node(self.subtrees.pop(), leaf), size // 2
        self.subtrees.append(leaf)
        self.size += 1

    def root(self):
        hashes = self.subtrees[:]
        top = hashes.pop() if hashes else sha(b"")
        while hashes:
            top = node(hashes.pop(), top)
        return base64.b64encode(top).decode()


def read_checkpoints(keys):
    by_size, count, newest = {}, 0, None
    paths = sorted(glob.glob("checkpoints/*.checkpoint"))
    for path in paths + sorted(glob.glob("frontiers/*.frontier") + glob.glob("log/*.frontier")):
        lines, witnesses = check_note(path, read(path).decode(), keys)
        by_size.setdefault(int(lines[1]), []).append((path, lines))
        if path.endswith(".checkpoint"):
            count, newest = count + 1, (path, witnesses)
    print(f"{count} checkpoints have valid signatures")
    if newest and newest[1]:
        print(f"{newest[0]} is cosigned by " + ", ".join(newest[1]))
    return by_size


def check_log(by_size):
    files = sorted(glob.glob("log/*.jsonl") or glob.glob("*.jsonl"))
    with open(files[0], "rb") as file:
        first = json.loads(file.readline())["metadata"]["sequence"]
    tree, seen = Tree(), 0
    if first > 0:
        path, lines = next(
            ((p, l) for p, l in by_size.get(first, []) if p.endswith(".frontier")), (None, None)
        )
        if path is None:
            fail(f"the log begins with record {first}, and no frontier of that record is here")
        state = json.loads(b64(lines[3].split(" ", 1)[1]))
        tree = Tree(first, [b64(text) for text in state["frontier"]])
        print(f"records 0 to {first - 1} are archived; {path} says how the log goes on")

    def compare():
        count = 0
        for path, lines in by_size.get(tree.size, []):
            if tree.root() != lines[2]:
                fail(f"the first {tree.size} records are not those that {path} was signed over")
            count += 1
        return count

    seen += compare()
    for name in files:
        with open(name, "rb") as file:
            for line in file:
                if json.loads(line)["metadata"]["sequence"] != tree.size:
                    fail(f"{name}: record {tree.size} carries another sequence number")
                tree.append(sha(b"\0" + line.rstrip(b"\n")))
                seen += compare()
    for size in by_size:
        if size > tree.size:
            fail(f"{by_size[size][0][0]} covers {size} records, and the log has {tree.size}")
    if seen == 0:
        fail("no checkpoint covers a record")
    print(f"{tree.size - first} records, {first} to {tree.size - 1}, root {tree.root()}")
    print(f"{seen} signed roots are those of these records")
    unsigned = tree.size - max(by_size)
    if unsigned:
        print(f"{unsigned} records are after the last checkpoint")


def root_of(leaf, index, size, path):
    if size == 1:
        return leaf
    half = 1 << (size - 1).bit_length() - 1
    if index < half:
        return node(root_of(leaf, index, half, path[:-1]), path[-1])
    return node(path[-1], root_of(leaf, index - half, size - half, path[:-1]))


def check_proofs(keys):
    paths = sorted(glob.glob("proofs/*.tlog-proof"))
    for path in paths:
        head, _, checkpoint = read(path).decode().partition("\n\n")
        _, extra, index, *hashes = head.split("\n")
        record, index = b64(extra.split(" ")[1]), int(index.split(" ")[1])
        lines, _ = check_note(path, checkpoint, keys)
        size = int(lines[1])
        try:
            root = root_of(sha(b"\0" + record), index, size, [b64(text) for text in hashes])
        except IndexError:
            root = b""
        if not 0 <= index < size or root != b64(lines[2]):
            fail(f"{path}: the record is not in the signed log")
    if paths:
        print(f"{len(paths)} proofs place their records in the signed log")


def check_report():
    if not os.path.exists("report.json"):
        return
    report, page, table = json.loads(read("report.json")), read("report.html"), read("report.csv")
    expected = {name: sha(read(name)).hex() for name in ("report.csv", "report.json")}
    if report["sha256"]["report.csv"] != expected["report.csv"]:
        fail("report.json was made with another report.csv")
    for name, digest in expected.items():
        if digest.encode() not in page:
            fail("report.html was made with another " + name)
    text = report["integrity"]["checkpointText"]
    if text and not any(read(path).decode() == text for path in glob.glob("checkpoints/*")):
        fail("the checkpoint of report.json is not in checkpoints/")
    print(f"report {report['report_id']}: the three files belong together")


def main():
    check_manifest()
    check_report()
    keys = read_keys()
    check_log(read_checkpoints(keys))
    check_proofs(keys)
    print("VERIFIED")


main()
`;

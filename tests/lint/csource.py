"""What the lint checks share: the files to look at, and C without comments.

tracked(root) are the files of the git checkout (of the directory tree when it
is none). blank(text) is C source with the inside of comments, strings and
character constants replaced by spaces: lines and columns stay where they are.
"""
import fnmatch
import os
import re
import subprocess

SKIP_DIRS = {".git", "__pycache__", ".pytest_cache"}


def walk(root):
    for base, dirs, names in os.walk(root):
        dirs[:] = [d for d in dirs
                   if d not in SKIP_DIRS and not d.startswith("build")]
        for name in names:
            yield os.path.relpath(os.path.join(base, name), root)


def tracked(root, *patterns):
    p = subprocess.run(["git", "ls-files", "-z"], cwd=root,
                       stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    names = p.stdout.decode().split("\0") if p.returncode == 0 else walk(root)
    return sorted(n for n in names
                  if n and os.path.isfile(os.path.join(root, n))
                  and (not patterns or
                       any(fnmatch.fnmatch(n, x) for x in patterns)))


def read(root, name):
    with open(os.path.join(root, name), encoding="utf-8",
              errors="replace") as f:
        return f.read()


TOKEN = re.compile(r"""
    (?P<line>//(?:\\\n|[^\n])*)
  | (?P<block>/\*.*?(?:\*/|\Z))
  | (?P<text>"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*')
""", re.X | re.S)


def spaces(text):
    return re.sub(r"[^\n]", " ", text)


def blank(text):
    def one(m):
        if m.lastgroup == "text":
            return m[0][0] + spaces(m[0][1:-1]) + m[0][-1]
        return spaces(m[0])
    return TOKEN.sub(one, text)


def line_comments(text):
    """Line numbers of // comments."""
    return [text.count("\n", 0, m.start()) + 1
            for m in TOKEN.finditer(text) if m.lastgroup == "line"]

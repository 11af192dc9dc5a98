"""A Hugging Face Hub in one process: the part of its protocol that uploading and downloading use, over real HTTP.

Repos live in memory as lists of commits. Weights and data go the LFS way (batch, PUT, commit by hash), other files in
the commit itself, as on the Hub. Uploads need the token.
"""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote, urlsplit

import yaml

TOKEN = "test-token"
LFS_SUFFIXES = (".safetensors", ".parquet", ".mp4", ".png")


class Repo:
    """A repo's commits (path -> content) and the names that point at them."""

    def __init__(self) -> None:
        self.commits: dict[str, dict[str, bytes]] = {}
        self.refs: dict[str, str] = {}
        self.tags: dict[str, str] = {}
        self.commit({}, "main")

    def commit(self, files: dict[str, bytes], branch: str) -> str:
        digest = hashlib.sha1(repr((len(self.commits), sorted(files))).encode()).hexdigest()
        self.commits[digest] = files
        self.refs[branch] = digest
        return digest

    def resolve(self, revision: str) -> str | None:
        found = self.refs.get(revision) or self.tags.get(revision) or revision
        return found if found in self.commits else None


class Hub:
    """The server; a context manager. `requests` lists what was asked of it."""

    def __init__(self) -> None:
        self.repos: dict[tuple[str, str], Repo] = {}
        self.objects: dict[str, bytes] = {}
        self.requests: list[str] = []
        hub = self

        class Bound(Handler):
            pass

        Bound.hub = hub
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Bound)
        self.endpoint = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> "Hub":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def files(self, repo_id: str, kind: str = "models") -> dict[str, bytes]:
        """What a repo's main branch holds."""
        repo = self.repos[kind, repo_id]
        return repo.commits[repo.refs["main"]]


class Handler(BaseHTTPRequestHandler):
    """One request."""

    hub: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        self.route()

    def do_HEAD(self) -> None:
        self.route()

    def do_POST(self) -> None:
        self.route(writes=True)

    def do_PUT(self) -> None:
        self.route(writes=True)

    def do_DELETE(self) -> None:
        self.route(writes=True)

    def route(self, writes: bool = False) -> None:
        path = unquote(urlsplit(self.path).path)
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.hub.requests.append(f"{self.command} {path}")
        if writes and not path.startswith("/objects/") and self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self.answer(401, {"error": "Unauthorized"})
            return
        for pattern, handle in ROUTES:
            if match := re.fullmatch(pattern, path):
                handle(self, **match.groupdict())
                return
        self.answer(404, {"error": f"no such endpoint: {self.command} {path}"})

    def answer(self, status: int, value: Any = None, headers: dict[str, str] | None = None) -> None:
        content = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        for name, text in (headers or {}).items():
            self.send_header(name, text)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def repo(self, kind: str, name: str) -> Repo | None:
        repo = self.hub.repos.get((kind or "models", name))
        if repo is None:
            self.answer(404, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})
        return repo


ROUTES: list[tuple[str, Callable[..., None]]] = []
NAME = r"(?P<name>[\w.-]+/[\w.-]+)"
KIND = r"(?P<kind>models|datasets)"


def route(pattern: str) -> Callable:
    return lambda function: ROUTES.append((pattern, function)) or function


@route("/api/repos/create")
def create(self: Handler) -> None:
    order = json.loads(self.body)
    name = f"{order.get('organization') or 'me'}/{order['name'].split('/')[-1]}"
    key = (f"{order.get('type', 'model')}s", name)
    exists = key in self.hub.repos
    self.hub.repos.setdefault(key, Repo())
    url = f"{self.hub.endpoint}/{'datasets/' if key[0] == 'datasets' else ''}{name}"
    self.answer(409 if exists else 200, {"url": url})


@route("/api/validate-yaml")
def validate_yaml(self: Handler) -> None:
    header = re.match(r"---\n(.*?)\n---", json.loads(self.body)["content"], re.DOTALL)
    problems = [] if header and isinstance(yaml.safe_load(header[1]), dict) else [{"message": "no metadata"}]
    self.answer(400 if problems else 200, {"errors": problems, "warnings": []})


@route(rf"/api/{KIND}/{NAME}/preupload/(?P<revision>[\w.-]+)")
def preupload(self: Handler, kind: str, name: str, revision: str) -> None:
    if self.repo(kind, name):
        files = [
            {
                "path": file["path"],
                "uploadMode": "lfs" if file["path"].endswith(LFS_SUFFIXES) else "regular",
                "shouldIgnore": False,
                "oid": None,
            }
            for file in json.loads(self.body)["files"]
        ]
        self.answer(200, {"files": files})


@route(rf"/(?:(?P<kind>datasets)/)?{NAME}\.git/info/lfs/objects/batch")
def lfs_batch(self: Handler, kind: str | None, name: str) -> None:
    objects = [
        {**wanted, "actions": {"upload": {"href": f"{self.hub.endpoint}/objects/{wanted['oid']}"}}}
        for wanted in json.loads(self.body)["objects"]
    ]
    self.answer(200, {"transfer": "basic", "objects": objects})


@route(r"/objects/(?P<oid>[0-9a-f]{64})")
def put_object(self: Handler, oid: str) -> None:
    if hashlib.sha256(self.body).hexdigest() != oid:
        self.answer(400, {"error": "hash mismatch"})
        return
    self.hub.objects[oid] = self.body
    self.answer(200)


@route(rf"/api/{KIND}/{NAME}/commit/(?P<revision>[\w.-]+)")
def commit(self: Handler, kind: str, name: str, revision: str) -> None:
    repo = self.repo(kind, name)
    if repo is None:
        return
    files = dict(repo.commits[repo.refs["main"]])
    for line in self.body.splitlines():
        entry = json.loads(line)
        value = entry["value"]
        if entry["key"] == "file":
            files[value["path"]] = base64.b64decode(value["content"])
        elif entry["key"] == "lfsFile":
            files[value["path"]] = self.hub.objects[value["oid"]]
        elif entry["key"] == "deletedFile":
            del files[value["path"]]
    digest = repo.commit(files, revision)
    prefix = "datasets/" if kind == "datasets" else ""
    url = f"{self.hub.endpoint}/{prefix}{name}/commit/{digest}"
    self.answer(200, {"success": True, "commitOid": digest, "commitUrl": url})


@route(rf"/api/{KIND}/{NAME}(?:/revision/(?P<revision>[\w.-]+))?")
def info(self: Handler, kind: str, name: str, revision: str | None) -> None:
    repo = self.repo(kind, name)
    if repo is None:
        return
    digest = repo.resolve(revision or "main")
    if digest is None:
        self.answer(404, {"error": "Invalid rev id"}, {"X-Error-Code": "RevisionNotFound"})
        return
    siblings = [{"rfilename": path, **blob(path, data)} for path, data in repo.commits[digest].items()]
    self.answer(200, {"id": name, "modelId": name, "sha": digest, "private": False, "tags": [], "siblings": siblings})


@route(rf"/api/{KIND}/{NAME}/tree/(?P<revision>[\w.-]+)(?:/(?P<folder>.*))?")
def tree(self: Handler, kind: str, name: str, revision: str, folder: str | None) -> None:
    repo = self.repo(kind, name)
    if repo is not None:
        files = repo.commits[repo.resolve(revision)]
        self.answer(
            200,
            [
                {"type": "file", "path": path, "oid": hashlib.sha1(data).hexdigest(), **blob(path, data)}
                for path, data in files.items()
                if path.startswith(folder or "")
            ],
        )


@route(rf"/api/{KIND}/{NAME}/refs")
def refs(self: Handler, kind: str, name: str) -> None:
    repo = self.repo(kind, name)
    if repo is not None:

        def listed(names: dict[str, str], prefix: str) -> list[dict[str, str]]:
            return [{"name": n, "ref": f"refs/{prefix}/{n}", "targetCommit": c} for n, c in names.items()]

        self.answer(200, {"branches": listed(repo.refs, "heads"), "tags": listed(repo.tags, "tags"), "converts": []})


@route(rf"/api/{KIND}/{NAME}/tag/(?P<revision>[\w.-]+)")
def tag(self: Handler, kind: str, name: str, revision: str) -> None:
    repo = self.repo(kind, name)
    if repo is None:
        return
    if self.command == "DELETE":
        found = repo.tags.pop(revision, None) is not None
        self.answer(200 if found else 404, {}, {} if found else {"X-Error-Code": "RevisionNotFound"})
        return
    wanted = json.loads(self.body)["tag"]
    if wanted in repo.tags:
        self.answer(409, {"error": "Tag exists"})
        return
    repo.tags[wanted] = repo.resolve(revision)
    self.answer(200, {})


@route(rf"/(?:(?P<kind>datasets)/)?{NAME}/resolve/(?P<revision>[\w.-]+)/(?P<path>.+)")
def download(self: Handler, kind: str | None, name: str, revision: str, path: str) -> None:
    repo = self.repo(kind or "models", name)
    if repo is None:
        return
    digest = repo.resolve(revision)
    data = repo.commits.get(digest, {}).get(path)
    if digest is None or data is None:
        code = "RevisionNotFound" if digest is None else "EntryNotFound"
        self.answer(404, {"error": code}, {"X-Error-Code": code, "X-Repo-Commit": digest or ""})
        return
    self.answer(200, data, {"ETag": f'"{hashlib.sha256(data).hexdigest()}"', "X-Repo-Commit": digest})


def blob(path: str, data: bytes) -> dict[str, Any]:
    digest = hashlib.sha256(data).hexdigest()
    lfs = {"sha256": digest, "oid": digest, "size": len(data), "pointerSize": 130}
    return {"size": len(data), **({"lfs": lfs} if path.endswith(LFS_SUFFIXES) else {})}

"""A Hugging Face hub on this machine: as much of its protocol as its client needs to give and take small models."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

TOKEN = "hf_token_of_ada"


@dataclass
class Repository:
    """Commits of one model, the last one is ``main``: their files by path."""

    private: bool = False
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)

    def commit(self, files: dict[str, bytes], message: str = "") -> str:
        """Add files to those that are there."""
        merged = {**(self.files() if self.commits else {}), **files}
        name = hashlib.sha1(f"{len(self.commits)}{sorted(merged)}".encode()).hexdigest()
        self.commits[name] = merged
        self.messages.append(message)
        return name

    def resolve(self, revision: str) -> str | None:
        return list(self.commits)[-1] if revision == "main" else revision if revision in self.commits else None

    def files(self, revision: str = "main") -> dict[str, bytes]:
        return self.commits[self.resolve(revision)]


class FakeHub:
    """The server, and what it was asked for; use as a context manager."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.requests: list[str] = []
        hub = self

        class Handler(_Handler):
            pass

        Handler.hub = hub
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"

    def __enter__(self) -> FakeHub:
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.server.shutdown()
        self.server.server_close()

    def fetched(self, name: str) -> bool:
        """Whether the content of a file was given out."""
        return any(request.startswith("GET") and request.endswith(f"/{name}") for request in self.requests)


class _Handler(BaseHTTPRequestHandler):
    hub: FakeHub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Nothing is printed."""

    def do_HEAD(self) -> None:
        self._answer()

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.hub.requests.append(f"POST {self.path}")
        if urlsplit(self.path).path == "/api/validate-yaml":
            return self._json({"errors": [], "warnings": []})
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self._json({"error": "Invalid username or password."}, 401)
        parts = urlsplit(self.path).path.strip("/").split("/")
        if parts[1:] == ["repos", "create"]:
            return self._create(json.loads(body))
        owner, name, action = parts[2:5]
        repository = self.hub.repositories[f"{owner}/{name}"]
        if action == "preupload":
            files = [
                {"path": file["path"], "uploadMode": "regular", "shouldIgnore": False, "oid": None}
                for file in json.loads(body)["files"]
            ]
            return self._json({"files": files})
        lines = [json.loads(line) for line in body.splitlines()]
        files = {
            line["value"]["path"]: base64.b64decode(line["value"]["content"]) for line in lines if line["key"] == "file"
        }
        oid = repository.commit(files, next(line["value"]["summary"] for line in lines if line["key"] == "header"))
        return self._json({"commitUrl": f"{self.hub.address}/{owner}/{name}/commit/{oid}", "commitOid": oid})

    def _create(self, wanted: dict) -> None:
        repo_id = f"{wanted.get('organization') or 'ada'}/{wanted['name']}"
        if wanted.get("organization") not in (None, "ada"):
            return self._json({"error": "You don't have the rights to create a model under this namespace"}, 403)
        if repo_id in self.hub.repositories:
            return self._json(
                {"error": "You already created this model repo", "url": f"{self.hub.address}/{repo_id}"}, 409
            )
        self.hub.repositories[repo_id] = Repository(
            wanted.get("visibility") == "private" or bool(wanted.get("private"))
        )
        return self._json({"url": f"{self.hub.address}/{repo_id}", "name": repo_id})

    def _answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append(f"{self.command} {path}")
        parts = path.strip("/").split("/")
        is_api = parts[0] == "api"
        repo_id = "/".join(parts[2:4] if is_api else parts[:2])
        rest = parts[4:] if is_api else parts[2:]
        repository = self.hub.repositories.get(repo_id)
        if repository is None:
            return self._json({"error": "Repository not found"}, 404, {"X-Error-Code": "RepoNotFound"})
        commit = repository.resolve(rest[1] if len(rest) > 1 else "main")
        if commit is None:
            return self._json({"error": "Revision not found"}, 404, {"X-Error-Code": "RevisionNotFound"})
        files = repository.files(commit)
        if not is_api:
            return self._file(files, "/".join(rest[2:]), commit)
        if rest and rest[0] == "tree":
            entries = [
                {"type": "file", "path": name, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
                for name, content in files.items()
            ]
            return self._json(entries)
        siblings = [{"rfilename": name} for name in files]
        return self._json({"id": repo_id, "modelId": repo_id, "sha": commit, "siblings": siblings, "tags": []})

    def _file(self, files: dict[str, bytes], name: str, commit: str) -> None:
        if name not in files:
            return self._json({"error": "Entry not found"}, 404, {"X-Error-Code": "EntryNotFound"})
        content = files[name]
        etag = hashlib.sha1(content).hexdigest()
        headers = {"ETag": f'"{etag}"', "X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
        return self._send(content, 200, "application/octet-stream", headers)

    def _json(self, value: object, status: int = 200, headers: dict[str, str] | None = None) -> None:
        headers = dict(headers or {})
        if isinstance(value, dict) and "error" in value:
            headers["X-Error-Message"] = value["error"]
        self._send(json.dumps(value).encode(), status, "application/json", headers)

    def _send(self, content: bytes, status: int, kind: str, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Type": kind, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

"""A Hugging Face Hub of one's own on this machine: the few endpoints that huggingface_hub asks for, in memory."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

TOKEN = "hf_aTokenThatNobodyMaySee"


@dataclass
class FakeHub:
    """Repositories by name, each a list of commits (sha, files), the newest last; and what was asked."""

    endpoint: str = ""
    repositories: dict[str, list[tuple[str, dict[str, bytes]]]] = field(default_factory=dict)
    private: set[str] = field(default_factory=set)
    branches: dict[tuple[str, str], str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    refuse: tuple[int, str] | None = None
    """A status and a text with which everything is answered."""

    def commit(self, repo: str, files: dict[str, bytes], branch: str = "main") -> str:
        """Add files; the sha of the commit."""
        commits = self.repositories.setdefault(repo, [])
        before = dict(commits[-1][1]) if commits else {}
        sha = hashlib.sha1(f"{repo}{len(commits)}".encode()).hexdigest()
        commits.append((sha, before | files))
        self.branches[repo, branch] = sha
        return sha

    def at(self, repo: str, revision: str) -> tuple[str, dict[str, bytes]] | None:
        """The commit that a revision means."""
        sha = self.branches.get((repo, revision), revision)
        return next((commit for commit in self.repositories.get(repo, []) if commit[0] == sha), None)


@contextmanager
def serving() -> Iterator[FakeHub]:
    """The hub, on a port of its own."""
    hub = FakeHub()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Nothing."""

        def answer(self, status: int, body: object = b"", **headers: str) -> None:
            data = body if isinstance(body, bytes) else json.dumps(body).encode()
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            if "Content_Length" not in headers:
                self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(data)

        def allowed(self, repo: str | None = None) -> bool:
            """Whether the question is answered; otherwise it has been refused."""
            hub.asked.append(f"{self.command} {self.path}")
            token = self.headers.get("Authorization", "")
            if hub.refuse is not None:
                self.answer(hub.refuse[0], {"error": hub.refuse[1] + token})
            elif self.command == "POST" and token != f"Bearer {TOKEN}":
                self.answer(
                    401, {"error": f"Invalid credentials {token}"}, X_Error_Message=f"Invalid credentials {token}"
                )
            elif repo is not None and (repo not in hub.repositories or (repo in hub.private and TOKEN not in token)):
                self.answer(404 if token else 401, {"error": "Repository not found"}, X_Error_Code="RepoNotFound")
            else:
                return True
            return False

        def do_POST(self) -> None:
            given = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            words = [unquote(word) for word in self.path.partition("?")[0].strip("/").split("/")]
            if words == ["api", "validate-yaml"]:
                self.answer(200, {"errors": [], "warnings": []}) if self.allowed() else None
                return
            if words == ["api", "repos", "create"]:
                if not self.allowed():
                    return
                asked = json.loads(given)
                repo = f"{asked.get('organization') or 'owner'}/{asked['name']}"
                known = repo in hub.repositories
                hub.repositories.setdefault(repo, [])
                if asked.get("private") or asked.get("visibility") == "private":
                    hub.private.add(repo)
                self.answer(409 if known else 200, {"url": f"{hub.endpoint}/{repo}"})
                return
            repo = "/".join(words[2:4])
            if not self.allowed(repo):
                return
            if words[4] == "branch":
                known = (repo, words[5]) in hub.branches
                hub.branches.setdefault((repo, words[5]), hub.branches.get((repo, "main"), ""))
                self.answer(409 if known else 200, {})
            elif words[4] == "preupload":
                files = [
                    {"path": each["path"], "uploadMode": "regular", "shouldIgnore": False}
                    for each in json.loads(given)["files"]
                ]
                self.answer(200, {"files": files})
            elif words[4] == "commit":
                lines = [json.loads(line) for line in given.splitlines()]
                added = {
                    line["value"]["path"]: base64.b64decode(line["value"]["content"])
                    for line in lines
                    if line["key"] == "file"
                }
                sha = hub.commit(repo, added, words[5])
                self.answer(
                    200, {"success": True, "commitOid": sha, "commitUrl": f"{hub.endpoint}/{repo}/commit/{sha}"}
                )

        def do_GET(self) -> None:
            words = [unquote(word) for word in self.path.partition("?")[0].strip("/").split("/")]
            repo = "/".join(words[:2])
            if not self.allowed(repo):
                return
            found = hub.at(repo, words[3])
            if found is None:
                self.answer(404, {"error": "Revision not found"}, X_Error_Code="RevisionNotFound")
                return
            sha, files = found
            data = files.get("/".join(words[4:]))
            if data is None:
                self.answer(404, {"error": "Entry not found"}, X_Error_Code="EntryNotFound", X_Repo_Commit=sha)
                return
            etag = hashlib.sha1(data).hexdigest()
            self.answer(200, data, X_Repo_Commit=sha, ETag=f'"{etag}"', Content_Length=str(len(data)))

        do_HEAD = do_GET  # noqa: N815 - the name that http.server calls

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.endpoint = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
        thread.join()

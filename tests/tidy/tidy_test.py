"""House rules that a program can check, as tests: layers, injected time and chance, sizes, readmes, frozen migrations."""
import re
import subprocess
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE = (".cpp", ".h")
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.MULTILINE)

SERVICES = ("producer", "worker", "callback", "operator")
# Each may include what stands before it, and common.
WORKER_LAYERS = ("kernels", "ops", "model", "engine", "batcher", "consumer")

BANNED = {
    r"\b\w*clock::now\s*\(": "take a Clock&",
    r"\bsleep_for\b|\bsleep_until\b|\busleep\s*\(": "wait on a signal",
    r"\brandom_device\b|\bstd::rand\b|\bsrand\s*\(": "take an Rng&",
    r"\bstd::regex\b": "write a scanner: std::regex recurses and can be made to overflow",
}
# Who may, and why. Single files: what stands beside them has no such reason.
ALLOWED = {
    "common/base/clock.cpp": "it is the clock",
    "common/http/connection.cpp": "the timers of its library run by the system's clock",
    "common/http/server.cpp": "its stop waits for those connections, by the same clock",
}
LINES_MAX = 700


def tracked() -> list[Path]:
    out = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [Path(name) for name in out.split("\0") if name and (ROOT / name).is_file()]


def text(path: Path) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


class Tidy(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.files = tracked()
        cls.source = [p for p in cls.files if p.suffix in SOURCE]
        cls.product = [p for p in cls.source if p.parts[0] in ("common", "schema", *SERVICES)]

    def test_something_is_checked(self) -> None:
        self.assertGreater(len(self.product), 50)

    def test_services_do_not_include_each_other(self) -> None:
        bad = [f"{p}: {name}" for p in self.product for name in INCLUDE.findall(text(p))
               if name.split("/")[0] in SERVICES and name.split("/")[0] != p.parts[0]]
        self.assertEqual(bad, [])

    def test_layers_of_the_worker(self) -> None:
        bad = []
        for path in self.product:
            if path.parts[0] != "worker" or path.parts[1] not in WORKER_LAYERS:
                continue
            own = WORKER_LAYERS.index(path.parts[1])
            for name in INCLUDE.findall(text(path)):
                parts = name.split("/")
                if parts[0] == "worker" and parts[1] in WORKER_LAYERS and WORKER_LAYERS.index(parts[1]) > own:
                    bad.append(f"{path}: {name}")
        self.assertEqual(bad, [])

    def test_client_libraries_stay_in_their_adapters(self) -> None:
        homes = {"amqp": "common/rabbitmq", "hiredis": "common/redis", "cppconn": "common/mysql",
                 "mysql_connection.h": "common/mysql", "curl": "callback", "prometheus": "common/metrics",
                 "boost": "common/http", "cblas.h": "worker/ops", "cpprest": "operator/client", "pplx": "operator/client"}
        bad = []
        for path in self.product:
            for name in re.findall(r"^\s*#\s*include\s+<([^>]+)>", text(path), re.MULTILINE):
                home = homes.get(name.split("/")[0]) or homes.get(re.sub(r"[_.].*", "", name.split("/")[0]))
                if home and not str(path).startswith(home):
                    bad.append(f"{path}: <{name}>")
        self.assertEqual(bad, [])

    def test_time_and_chance_are_passed_in(self) -> None:
        bad, used = [], set()
        for path in self.product:
            for number, line in enumerate(text(path).splitlines(), 1):
                code = line.split("//")[0]
                found = [f"{path}:{number}: {advice}" for pattern, advice in BANNED.items() if re.search(pattern, code)]
                if str(path) not in ALLOWED:
                    bad += found
                elif found:
                    used.add(str(path))
        self.assertEqual(bad, [])
        self.assertEqual(set(ALLOWED) - used, set(), "needs its exception no more")

    def test_files_are_of_a_readable_size(self) -> None:
        code = [p for p in self.files if p.suffix in (*SOURCE, ".py", ".sh") and p.parts[0] != "models"]
        bad = [str(p) for p in code if text(p).count("\n") > LINES_MAX]
        self.assertEqual(bad, [])

    def test_headers_are_included_once(self) -> None:
        bad = [str(p) for p in self.source if p.suffix == ".h" and "#pragma once" not in text(p)]
        self.assertEqual(bad, [])

    def test_every_source_file_is_built(self) -> None:
        bad = []
        for path in self.source:
            if path.suffix != ".cpp":
                continue
            lists = [ROOT / folder / "CMakeLists.txt" for folder in [path.parent, *path.parent.parents]]
            if not any(f.exists() and path.name in f.read_text(encoding="utf-8") for f in lists):
                bad.append(str(path))
        self.assertEqual(bad, [])

    def test_every_folder_of_the_product_has_a_readme(self) -> None:
        folders = {p.parent for p in self.product if p.suffix == ".cpp"}
        self.assertEqual([str(f) for f in sorted(folders) if not (ROOT / f / "README.md").exists()], [])

    def test_no_unfinished_marks(self) -> None:
        mark = re.compile(r"\b(TO" r"DO|FIX" r"ME|X" r"XX)\b")
        bad = [str(p) for p in self.files if p.suffix in (*SOURCE, ".py", ".sh", ".md", ".sql", ".txt")
               and p.parts[0] != "models" and mark.search(text(p))]
        self.assertEqual(bad, [])

    def test_every_migration_goes_up_and_down_with_one_statement(self) -> None:
        ups = sorted((ROOT / "schema" / "sql").glob("*.up.sql"))
        self.assertEqual([int(p.name[:4]) for p in ups], list(range(1, len(ups) + 1)))
        for up in ups:
            down = up.with_name(up.name.replace(".up.", ".down."))
            self.assertTrue(down.exists(), down)
            for path in (up, down):
                code = re.sub(r"--[^\n]*", "", path.read_text(encoding="utf-8"))
                self.assertEqual(code.count(";"), 1, f"{path.name}: MySQL commits DDL implicitly: one statement a file")

    def test_migrations_use_what_mysql_and_mariadb_share(self) -> None:
        only_mariadb = re.compile(r"\b(IF NOT EXISTS|RETURNING|SEQUENCE|UUID\b|INET6|WITH SYSTEM VERSIONING)", re.IGNORECASE)
        for path in (ROOT / "schema" / "sql").glob("*.sql"):
            code = re.sub(r"--[^\n]*", "", path.read_text(encoding="utf-8"))
            self.assertIsNone(only_mariadb.search(code), path.name)

    def test_every_failpoint_is_documented(self) -> None:
        names = {name for p in self.product for name in re.findall(r'SLUICE_FAILPOINT\("([^"]+)"\)', text(p))}
        self.assertTrue(names)
        documented = (ROOT / "docs" / "crash-windows.md").read_text(encoding="utf-8")
        self.assertEqual([n for n in sorted(names) if f"`{n}`" not in documented], [])

    def test_links_between_documents_lead_somewhere(self) -> None:
        bad = []
        for path in self.files:
            if path.suffix != ".md" or path.parts[0] == "models":
                continue
            for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text(path)):
                if "://" not in target and not ((ROOT / path).parent / target).exists():
                    bad.append(f"{path}: {target}")
        self.assertEqual(bad, [])


if __name__ == "__main__":
    unittest.main()

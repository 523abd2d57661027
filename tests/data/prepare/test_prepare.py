"""Preparing image files once: stopped, resumed, in several processes, refused."""

import errno
import os
import signal
import subprocess
import sys

import pytest
from image_folders import Progress, write_counted_classes, write_image, write_named_classes
from tiny_runs import in_processes

import ltbench.data.dataset as data
from ltbench.data.prepare import convert as conversion
from ltbench.data.prepare import prepare as preparation
from ltbench.data.prepare.prepare import prepare
from ltbench.data.prepare.verify import verify
from ltbench.errors import DataCorrupt, DataMissing, DiskFull, Interrupted, UsageError
from ltbench.specs import DataSpec


def test_a_broken_file_is_named_and_after_mending_only_the_rest_is_done(tmp_path):
    source = write_counted_classes(tmp_path / "src", [14, 14])
    clean = prepare("folder_lt", source, tmp_path / "clean", image_size=8, workers=1)
    broken = source / "b" / "0012.jpg"
    content = broken.read_bytes()
    broken.write_bytes(content[:80])
    with pytest.raises(DataCorrupt, match=r"src/b/0012\.jpg cannot be decoded \(Truncated"):
        prepare("folder_lt", source, tmp_path, image_size=8, workers=1)
    assert data.get_source("folder_lt").candidates(tmp_path, None) == []
    broken.write_bytes(content)
    progress = Progress()
    made = prepare("folder_lt", source, tmp_path, image_size=8, workers=1, progress=progress)
    assert 0 < progress[0][0] < progress[0][1] == progress[-1][0] == 28
    assert made.hash == clean.hash
    assert not list((tmp_path / "prepared").glob(".*"))


def prepare_in(_rank, source, root):
    prepare("folder_lt", source, root, image_size=8, workers=1)


@pytest.mark.parametrize("others", [False, True])
def test_who_prepares_while_another_does_waits_for_it(tmp_path, others):
    """As torchrun's processes: each converted into the same files, and all but one ended in a traceback."""
    source = write_counted_classes(tmp_path / "src" / "birds", [14, 14])
    again = write_counted_classes(tmp_path / "more" / "birds", [9, 9], start=500) if others else source
    second = []

    def start_second(done, _total):
        if done and not second:
            second.extend(in_processes(prepare_in, again, tmp_path / "data"))
            second[0].join(2)  # long enough to do it all, were it let in

    made = prepare("folder_lt", source, tmp_path / "data", image_size=8, workers=1, progress=start_second)
    second[0].join(60)
    assert second[0].exitcode == 0
    clean = [
        prepare("folder_lt", each, tmp_path / "clean", image_size=8, workers=1) for each in (source, again)
    ]
    assert made.hash == clean[0].hash
    folders = data.get_source("folder_lt").candidates(tmp_path / "data", 8)
    assert {folder.hash for folder in folders} == {folder.hash for folder in clean}
    assert not list((tmp_path / "data" / "prepared").glob(".*"))


def test_a_stray_file_in_a_class_folder_is_not_passed_over(tmp_path):
    source = write_counted_classes(tmp_path / "src", [5, 5])
    (source / ".DS_Store").write_text("hidden files are")
    (source / "a" / ".DS_Store").write_text("hidden files are")
    prepare("folder_lt", source, tmp_path / "p", workers=1)
    (source / "a" / "notes.txt").write_text("not an image")
    with pytest.raises(DataCorrupt, match=r"a/notes\.txt is text, no image: mend or remove it"):
        prepare("folder_lt", source, tmp_path / "q", workers=1)


def test_files_changed_between_two_attempts_are_converted_again(tmp_path):
    source = write_counted_classes(tmp_path / "src", [14, 14])

    def stop(done, _total):
        if done >= 20:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted, match="stopped after 20 of 28 images"):
        prepare("folder_lt", source, tmp_path, image_size=8, workers=1, progress=stop)
    write_image(source / "a" / "0005.jpg", 4242)
    made = prepare("folder_lt", source, tmp_path, image_size=8, workers=1)
    assert made.hash == prepare("folder_lt", source, tmp_path / "clean", image_size=8, workers=1).hash


class StopAfterAChunk(Progress):
    """Stops once more is done than an earlier run has left."""

    def __call__(self, done, total):
        super().__call__(done, total)
        if done > self[0][0]:
            raise KeyboardInterrupt


def test_stopped_after_its_arrays_were_made_anew_no_image_stays_black(tmp_path):
    """The log of an earlier run, of as many chunks and other images, called rows done that were never written."""
    source = write_counted_classes(tmp_path / "src", [14, 14])
    broken = source / "b" / "0012.jpg"
    broken.write_bytes(broken.read_bytes()[:80])
    with pytest.raises(DataCorrupt, match="cannot be decoded"):
        prepare("folder_lt", source, tmp_path, image_size=8, workers=1)
    broken.unlink()
    with pytest.raises(Interrupted):
        prepare("folder_lt", source, tmp_path, image_size=8, workers=1, progress=StopAfterAChunk())
    made = prepare("folder_lt", source, tmp_path, image_size=8, workers=1)
    assert made.hash == prepare("folder_lt", source, tmp_path / "clean", image_size=8, workers=1).hash


def test_stopped_while_rows_were_overwritten_they_are_converted_again(tmp_path, monkeypatch):
    source = write_counted_classes(tmp_path / "src", [14, 14])
    with pytest.raises(Interrupted):
        prepare("folder_lt", source, tmp_path, image_size=8, workers=1, progress=StopAfterAChunk())
    first = {file: file.read_bytes() for file in source.rglob("*.jpg")}

    def killed(todo, _workers):
        for chunk in todo:
            with chunk.target.open("r+b") as handle:
                handle.seek(chunk.offset + chunk.start * 3 * 8 * 8)
                handle.write(bytes(len(chunk.entries) * 3 * 8 * 8))
        raise KeyboardInterrupt

    for number, file in enumerate(first):
        write_image(file, 4000 + number)
    with monkeypatch.context() as patch:
        patch.setattr(preparation, "converted", killed)
        with pytest.raises(Interrupted):
            prepare("folder_lt", source, tmp_path, image_size=8, workers=1)
    for file, content in first.items():
        file.write_bytes(content)
    made = prepare("folder_lt", source, tmp_path, image_size=8, workers=1)
    assert made.hash == prepare("folder_lt", source, tmp_path / "clean", image_size=8, workers=1).hash


def begun(source, root, images, workers):
    """Return the process of a preparation that has told of so many images, and waits there."""
    code = (
        "import time; from ltbench.data.prepare import prepare as p; p.CHUNK = 4\n"
        f"def shout(done, total):\n    print(done, flush=True)\n    if done >= {images}: time.sleep(600)\n"
        f"p.prepare('folder_lt', {str(source)!r}, {str(root)!r}, image_size=8, workers={workers}, progress=shout)"
    )
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    while int(child.stdout.readline()) < images:
        pass
    return child


def test_killed_and_started_again_gives_the_same_folder(tmp_path):
    source = write_counted_classes(tmp_path / "src", [14, 14])
    child = begun(source, tmp_path, images=12, workers=1)
    os.kill(child.pid, signal.SIGKILL)
    child.wait()
    log = tmp_path / "prepared" / ".folder_lt-src-8.partial" / "progress.log"
    log.write_text(log.read_text()[:-5])  # as if the last line had been cut short
    progress = Progress()
    made = prepare("folder_lt", source, tmp_path, image_size=8, workers=1, progress=progress)
    assert progress[0] == (8, 28)
    assert made.hash == prepare("folder_lt", source, tmp_path / "clean", image_size=8, workers=1).hash


def test_several_processes_give_the_same_folder_and_pass_on_errors(tmp_path):
    source = write_counted_classes(tmp_path / "src", [14, 14])
    one = prepare("folder_lt", source, tmp_path / "one", image_size=8, workers=1)
    two = prepare("folder_lt", source, tmp_path / "two", image_size=8, workers=2)
    assert one.hash == two.hash
    for name in ("train.npy", "heldout.npy", "train.labels.npy", "source_list.csv"):
        assert (one.folder / name).read_bytes() == (two.folder / name).read_bytes()
    (source / "b" / "0001.jpg").write_bytes(b"no image")
    with pytest.raises(DataCorrupt, match=r"b/0001\.jpg"):
        prepare("folder_lt", source, tmp_path / "three", image_size=8, workers=2)


def test_prepared_once_is_not_prepared_again(tmp_path, monkeypatch):
    source = write_counted_classes(tmp_path / "src", [5, 5])
    first = prepare("folder_lt", source, tmp_path, workers=1)
    monkeypatch.setattr(conversion, "convert", None)
    assert prepare("folder_lt", source, tmp_path, workers=1).hash == first.hash
    monkeypatch.undo()
    write_image(source / "a" / "new.jpg", 1)
    other = prepare("folder_lt", source, tmp_path, image_size=32, workers=1)
    assert other.hash != first.hash
    assert other.folder != first.folder
    assert other.name.startswith("src-")
    assert prepare("folder_lt", source, tmp_path, workers=1).folder == other.folder
    with pytest.raises(UsageError, match=r"src-32 was prepared from other images .* another --name"):
        prepare("folder_lt", source, tmp_path, workers=1, own_name="src")


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "-a", "a b", "\x1b[2J", "é"])
def test_a_name_that_names_no_folder_is_refused(tmp_path, name):
    source = write_counted_classes(tmp_path / "src", [5, 5])
    with pytest.raises(UsageError, match="it names a folder"):
        prepare("folder_lt", source, tmp_path / "data", workers=1, own_name=name)
    assert not (tmp_path / "data").exists()


def test_a_full_disk_is_noticed_before_the_work(tmp_path, monkeypatch):
    source = write_counted_classes(tmp_path / "src", [5, 5])

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(DiskFull, match="no space left"):
        prepare("folder_lt", source, tmp_path, workers=1)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda p: prepare("digits_lt", p, p), UsageError, "needs no preparing"),
        (lambda p: prepare("folder", p, p), UsageError, "did you mean 'folder_lt'"),
        (lambda p: prepare("folder_lt", p / "no", p), DataMissing, "does not exist"),
        (lambda p: prepare("folder_lt", p, p, image_size=4), UsageError, r"no image size 4: use 8\.\.256"),
        (lambda p: prepare("folder_lt", p, p, workers=0), UsageError, "--workers 0"),
        (lambda p: verify("cifar10_lt", p), UsageError, "checked whenever"),
        (lambda p: verify("celeba5", p), DataMissing, "ltbench data prepare celeba5"),
        (
            lambda p: data.load_dataset(DataSpec(dataset="celeba5"), p),
            DataMissing,
            "ltbench data prepare celeba5",
        ),
    ],
)
def test_what_cannot_be_prepared_or_verified(tmp_path, call, error, message):
    with pytest.raises(error, match=message):
        call(tmp_path)


def test_a_script_without_a_main_guard_prepares_with_several_processes(tmp_path):
    """Each spawned process ran the caller's script again, and the parent said that one "died, perhaps for want of memory"."""
    source = write_counted_classes(tmp_path / "src", [8, 8])
    script = tmp_path / "mine.py"
    script.write_text(
        "from pathlib import Path\nfrom ltbench.data.prepare.prepare import prepare\n"
        f"with open({str(tmp_path / 'ran')!r}, 'a') as file:\n    file.write('once\\n')\n"
        f"prepare('folder_lt', Path({str(source)!r}), Path({str(tmp_path / 'data')!r}), image_size=8, workers=2)\n"
        "assert __file__.endswith('mine.py')\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert (tmp_path / "ran").read_text() == "once\n"


def test_renamed_classes_are_prepared_under_their_new_names(tmp_path):
    """The same images had been prepared, so the folder of the old names was given back."""
    source = write_named_classes(tmp_path / "src", ["0", "1"])
    made = []
    for names in (("0", "1"), ("cat", "dog"), ("hen", "owl")):
        for old, new in zip(sorted(path.name for path in source.iterdir()), names, strict=True):
            (source / old).rename(source / new)
        made.append(prepare("folder_lt", source, tmp_path, image_size=8, workers=1))
        assert made[-1].identity["class_names"] == list(names)
        assert prepare("folder_lt", source, tmp_path, image_size=8, workers=1).folder == made[-1].folder
    assert len({each.folder for each in made}) == 3
    with pytest.raises(
        UsageError, match="src-8 was prepared with other names of classes or another ground: give another"
    ):
        prepare("folder_lt", source, tmp_path, image_size=8, workers=1, own_name="src")


def test_workers_end_with_a_parent_that_is_killed(tmp_path):
    """They waited for work for ever, and Ctrl-C did not reach them."""
    source = write_counted_classes(tmp_path / "src", [14, 14])
    child = begun(source, tmp_path, images=4, workers=2)
    child.kill()
    child.communicate(timeout=60)  # the pipe ends with the last process that has it

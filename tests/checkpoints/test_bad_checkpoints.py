"""Files that are not what they should be: one clear error, no effect, nothing written."""

import os
import pickle
import re
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dill
import pytest
import torch
from checkpoints.original_files import Original, make_original
from omegaconf import OmegaConf
from safe_files.hostile_pickles import Calls, hostile_pickles
from typer.testing import CliRunner

from lerobot_sdm.checkpoints.import_policy import import_checkpoint
from lerobot_sdm.cli.main import app
from lerobot_sdm.errors import InputError


def refused(path: Path, message: str, weights: str | None = None) -> None:
    """Importing the file fails with this message and leaves no trace."""
    before = sorted(path.parent.iterdir())
    with pytest.raises(InputError, match=message) as error:
        import_checkpoint(path, path.parent / "policy", weights)
    assert path.name in str(error.value)
    assert sorted(path.parent.iterdir()) == before


def rewrite(path: Path, change: Callable[[str, bytes], bytes | None], compression: int = zipfile.ZIP_STORED) -> Path:
    """Change members of a zip archive; those for which `change` gives None are left out."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in members.items():
            if (changed := change(name, data)) is not None:
                archive.writestr(name, changed)
    return path


def with_pickle(path: Path, payload: bytes) -> Path:
    """A real checkpoint whose pickle was replaced."""
    return rewrite(path, lambda name, data: payload if name.endswith("data.pkl") else data)


@pytest.fixture(scope="module")
def good_file(tmp_path_factory) -> bytes:
    return make_original().save(tmp_path_factory.mktemp("good") / "x.ckpt").read_bytes()


@pytest.fixture
def file(good_file, tmp_path) -> Path:
    """A checkpoint in a folder of its own."""
    path = tmp_path / "x.ckpt"
    path.write_bytes(good_file)
    return path


# ---- hostile files -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", hostile_pickles(Path("unused")))
def test_hostile_pickles_have_no_effect(name, file, tmp_path_factory):
    canary = tmp_path_factory.mktemp("canary") / "canary"
    refused(with_pickle(file, hostile_pickles(canary)[name]), "asks for")
    assert not canary.exists()


def test_a_hostile_object_anywhere_in_a_real_checkpoint_has_no_effect(tmp_path):
    """Wherever `torch.load` would run it, in the tensors, the optimizer, the configuration or the nested pickles."""
    canary = tmp_path / "canary"
    touch = Calls(os.system, f"touch {canary}")
    places = {
        "state_dicts": lambda p: p["state_dicts"]["model"].update(x=touch),
        "optimizer": lambda p: p["state_dicts"]["optimizer"].update(x=touch),
        "cfg": lambda p: p.update(cfg=[p["cfg"], touch]),
        "beside": lambda p: p.update(more=touch),
        "pickles": lambda p: p["pickles"].update(epoch=pickle.dumps(touch)),
        "output_dir": lambda p: p["pickles"].update(_output_dir=pickle.dumps(touch)),
    }
    for name, place in places.items():
        original = make_original()
        place(original.payload)
        path = tmp_path / f"{name}.ckpt"
        torch.save(original.payload, path, pickle_module=dill)
        refused(path, r"asks for '(posix|os|dill\._dill)\.\w+'")
        assert not canary.exists()


def test_dill_cannot_smuggle_code(tmp_path):
    original = make_original()
    original.payload["pickles"]["epoch"] = dill.dumps(lambda: 1, recurse=True)
    refused(original.save(tmp_path / "x.ckpt"), r"asks for 'dill\._dill\._create_function'")


@pytest.mark.parametrize(
    ("name", "args"),
    [
        ("torch.storage._load_from_bytes", (b"hostile",)),
        ("torch.load", ("/etc/passwd",)),
        ("torch.hub.load", ("someone/something", "entry")),
        ("torch._utils._rebuild_device_tensor_from_numpy", ()),
        ("torch.jit.load", ("x",)),
        ("torch.nn.modules.module.Module", ()),
    ],
)
def test_torch_offers_no_way_in(name, args, file):
    module, _, function = name.rpartition(".")
    payload = f"c{module}\n{function}\n".encode() + pickle.dumps(args, protocol=0)[:-1] + b"R."
    refused(with_pickle(file, payload), f"asks for '{name}'")


FLOAT = "ctorch\nFloatStorage\n"


def tensor_pickle(identity: str, arguments: str) -> bytes:
    """A checkpoint's pickle whose only tensor is built from this persistent id and these arguments, in protocol 0."""
    tensor = f"ctorch._utils\n_rebuild_tensor_v2\n(({identity}tQ{arguments}tR"
    return f"(dVstate_dicts\n(dVmodel\n(dVx\n{tensor}ssVcfg\n(dsVpickles\n(ds.".encode()


@pytest.mark.parametrize(
    ("identity", "arguments", "message"),
    [
        # A single number shown a million million times.
        (f"Vstorage\n{FLOAT}V1\nVcpu\nI192\n", "I0\n(I1000000\nI1000000\nt(I0\nI0\ntI00\nN", "beyond its storage"),
        (f"Vstorage\n{FLOAT}V1\nVcpu\nI192\n", "I190\n(I8\nt(I1\ntI00\nN", "beyond its storage"),
        (f"Vstorage\n{FLOAT}V1\nVcpu\nI192\n", "I-1\n(I8\nt(I1\ntI00\nN", "beyond its storage"),
        (f"Vstorage\n{FLOAT}V1\nVcpu\nI192\n", "I0\n(I-8\nt(I1\ntI00\nN", "beyond its storage"),
        (f"Vstorage\n{FLOAT}V1\nVcpu\nI192\n", "I0\n(I8\nt(I-1\ntI00\nN", "beyond its storage"),
        (f"Vstorage\n{FLOAT}V1\nVcpu\nI192\n", "I0\n(I8\nI2\nt(I1\ntI00\nN", "beyond its storage"),
        (f"Vstorage\n{FLOAT}V1\nVcpu\nI-5\n", "I0\n(I8\nt(I1\ntI00\nN", "names a storage in a way"),
        ("Vmodule\nVx\nVsource\n", "I0\n(I8\nt(I1\ntI00\nN", "names a storage in a way"),
        (f"Vstorage\n{FLOAT}V1\n", "I0\n(I8\nt(I1\ntI00\nN", "names a storage in a way"),
        ("Vstorage\nVFloatStorage\nV1\nVcpu\nI8\n", "I0\n(I8\nt(I1\ntI00\nN", "names a storage in a way"),
        ("Vstorage\ncos\nsystem\nV1\nVcpu\nI8\n", "I0\n(I8\nt(I1\ntI00\nN", "asks for 'os.system'"),
    ],
)
def test_storage_tricks_are_refused(identity, arguments, message, file):
    refused(with_pickle(file, tensor_pickle(identity, arguments)), message)


def test_a_storage_that_announces_more_than_it_holds(file):
    def lie(name: str, data: bytes) -> bytes:
        return data[:-4] if name.endswith("data/1") else data

    refused(rewrite(file, lie), r"'data/1' has \d+ bytes, not \d+", "raw")


def test_a_storage_name_reaches_no_file_outside_the_archive(file):
    def rename(name: str, data: bytes) -> bytes:
        """Give the storage of the action's offset another name of the same length."""
        if not name.endswith("data.pkl"):
            return data
        key = re.search(rb"action\.offset.{1,60}?X\x03\x00\x00\x00(\d{3})", data, re.DOTALL)
        return data[: key.start(1)] + b"../" + data[key.end(1) :]

    refused(rewrite(file, rename), r"'data/\.\./' is missing", "raw")


# ---- broken files --------------------------------------------------------------------------------------


def test_truncated_files(file, good_file):
    for share in (0.0, 0.01, 0.5, 0.99, 0.9999):
        file.write_bytes(good_file[: int(share * len(good_file))])
        refused(file, "not a complete file of torch.save")


def test_corrupt_tensors(file, good_file):
    with zipfile.ZipFile(file) as archive:
        where = archive.getinfo("x/data/2").header_offset + 128
    flipped = bytes(255 - byte for byte in good_file[where : where + 8])
    file.write_bytes(good_file[:where] + flipped + good_file[where + 8 :])
    refused(file, "'data/2' in it is corrupt", "raw")


def test_other_files(tmp_path):
    for name, content in {
        "text": b"hello",
        "pickle": pickle.dumps({"cfg": 1}),
        "zip": b"PK\x05\x06" + bytes(18),
    }.items():
        path = tmp_path / name
        path.write_bytes(content)
        refused(path, "not a complete file of torch.save|not one of torch.save")
        path.unlink()


def test_files_in_the_format_before_zip(tmp_path):
    path = tmp_path / "old.ckpt"
    torch.save({"a": torch.ones(2)}, path, _use_new_zipfile_serialization=False)
    refused(path, "PyTorch before 1.6")


def test_compressed_archives_are_refused(file):
    refused(rewrite(file, lambda _, data: data, zipfile.ZIP_DEFLATED), "compressed members")


def test_big_endian_files_are_refused(file):
    refused(rewrite(file, lambda name, data: b"big" if name.endswith("byteorder") else data), "big-endian")


def test_missing_members_are_named(file):
    refused(rewrite(file, lambda name, data: None if name.endswith("data/1") else data), "'data/1' is missing", "raw")


# ---- other checkpoints ---------------------------------------------------------------------------------


def test_checkpoints_of_other_families(tmp_path):
    path = tmp_path / "x.ckpt"
    for payload in ({"state_dict": OrderedDict(a=torch.ones(2))}, [torch.ones(2)], torch.ones(2)):
        torch.save(payload, path)
        refused(path, "not a checkpoint of the DP3 family")


def changed(change: Callable[[Original], Any]) -> Original:
    original = make_original()
    change(original)
    return original


def setting(path: str, value: Any) -> Callable[[Original], Any]:
    return lambda original: OmegaConf.update(original.payload["cfg"], path, value, force_add=True)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("policy._target_", "diffusion_policy.policy.DiffusionUnetImagePolicy", "is not of the DP3 family"),
        ("policy.condition_type", "cross_attention_film", "condition_type='cross_attention_film' is not supported"),
        ("policy.use_mid_condition", False, "use_mid_condition=False is not supported"),
        ("policy.obs_as_global_cond", False, "obs_as_global_cond=False"),
        ("policy.pointnet_type", "uni3d", "pointnet_type='uni3d' is not supported, only 'pointnet' is"),
        ("policy.pointcloud_encoder_cfg.final_norm", "none", "final_norm='none'"),
        ("policy.noise_scheduler.prediction_type", "epsilon", "prediction_type='epsilon'"),
        ("policy.noise_scheduler._target_", "diffusers.DDPMScheduler", "_target_='diffusers.DDPMScheduler'"),
        ("policy.noise_scheduler.beta_schedule", 3, "beta_schedule' is 3, must be of type str"),
        ("policy.noise_scheduler.timestep_spacing", "linspace", "timestep_spacing='linspace' is not supported"),
        ("policy.noise_scheduler.trained_betas", [0.1, 0.2], r"noise_scheduler\.trained_betas is not supported"),
        ("policy.noise_scheduler.thresholding", True, "thresholding=True is not supported"),
        ("policy.noise_scheduler.rescale_betas_zero_snr", True, "rescale_betas_zero_snr=True is not supported"),
        ("policy.noise_scheduler.eta", 0.5, r"policy\.noise_scheduler\.eta is not supported"),
        ("policy.noise_scheduler.beta_schedule", "sigmoid", "beta_schedule.*'sigmoid' is not known"),
        ("policy.noise_scheduler.beta_end", 1.5, r"beta_end=1\.5"),
        ("policy.noise_scheduler.beta_end", "${policy.nowhere}", r"policy\.nowhere.*which it does not contain"),
        ("policy.horizon", "${eval:'2**2'}", r"eval.*would have to be evaluated"),
        ("policy.horizon", "${policy.horizon}", "would have to be evaluated"),
        ("policy.horizon", True, "'policy.horizon' is True, must be of type int"),
        ("policy.down_dims", [], "down_dims should be a list of 1 to 10 whole numbers"),
        ("policy.down_dims", [16] * 11, "down_dims should be a list of 1 to 10 whole numbers"),
        # Would take a petabyte, if it were built.
        ("policy.down_dims", [16, 32, 1_000_000], r"down_dims.*must lie in"),
        ("policy.noise_scheduler.num_train_timesteps", 10**15, "num_train_timesteps' is .*, which is far too large"),
        ("policy.down_dims", [16, 32, 65], "multiple of n_groups"),
        ("policy.down_dims", [16, 32, 128], r"has shape \(64,.*\), but its configuration requires \(128,"),
        ("task.shape_meta.action.shape", [2, 2], "should have 1 dimension"),
        ("task.shape_meta.obs.agent_pos.shape", [10], r"normalizer of 'agent_pos' has shape \(9,\), not \(10,\)"),
    ],
)
def test_settings_that_would_change_the_answers_are_refused(path, value, message, tmp_path):
    original = changed(setting(path, value))
    with pytest.raises(InputError, match=message):
        import_checkpoint(original.save(tmp_path / "x.ckpt"), tmp_path / "policy")
    assert not (tmp_path / "policy").exists()


def test_trailing_steps_that_do_not_divide_the_levels_are_refused(tmp_path):
    """diffusers then steps to a noise level at which the network is not asked next."""
    original = make_original(sampler={"timestep_spacing": "trailing"})
    original.payload["cfg"].policy.num_inference_steps = 8
    refused(original.save(tmp_path / "x.ckpt"), "'trailing' with policy.num_inference_steps=8.*divide")


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("policy.scheduler.timestep_scaling", 0.1, "timestep_scaling=0.1 is not supported, only 10.0 is"),
        (
            "policy.scheduler.clip_sample_range",
            2.0,
            r"policy\.scheduler clips to 2\.0 and policy\.noise_scheduler to 1\.0",
        ),
        ("policy.noise_scheduler.clip_sample", False, "clips to 1.0 and policy.noise_scheduler to None"),
        ("policy.scheduler.original_inference_steps", 200, "original_inference_steps=200 must be in 1 to 100"),
        ("policy.scheduler.sigma_data", 0.1, r"policy\.scheduler\.sigma_data is not supported"),
    ],
)
def test_samplers_of_students_that_answer_otherwise_are_refused(path, value, message, tmp_path):
    original = make_original(kind="sdm")
    setting(path, value)(original)
    refused(original.save(tmp_path / "x.ckpt"), message)


def test_texts_that_double_each_other_take_no_time(tmp_path):
    original = make_original()
    cfg = original.payload["cfg"]
    for level in range(18):
        OmegaConf.update(cfg, f"text{level}", f"${{text{level + 1}}}" * 40, force_add=True)
    OmegaConf.update(cfg, "text18", "x" * 1000, force_add=True)
    cfg.policy.noise_scheduler.beta_schedule = "${text0}"
    refused(original.save(tmp_path / "x.ckpt"), "would have to be evaluated")


def test_nobody_is_told_to_remove_the_source(tmp_path):
    path = make_original().save(tmp_path / "x.ckpt")
    for output in (path, tmp_path):
        with pytest.raises(InputError, match=r"exists already\. Choose another name\.$"):
            import_checkpoint(path, output)
    assert path.exists()


def test_missing_settings_are_named(tmp_path):
    original = changed(lambda o: o.payload["cfg"]["policy"].pop("kernel_size"))
    refused(original.save(tmp_path / "x.ckpt"), "no 'policy.kernel_size'")


def test_students_that_sample_in_several_steps_are_refused(tmp_path):
    original = make_original(kind="manicm")
    OmegaConf.update(original.payload["cfg"], "policy.num_inference_timesteps", 4)
    path = original.save(tmp_path / "x.ckpt")
    refused(path, "num_inference_timesteps=4 is not supported, only 1 is")
    assert import_checkpoint(path, tmp_path / "teacher", "ema").policy_type == "dp3"


WEIGHT = "model.final_conv.1.weight"
SCALE = "normalizer.params_dict.action.scale"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: s.pop(WEIGHT), f"Missing: '{WEIGHT}'; unexpected: none"),
        (lambda s: s.update(extra=torch.ones(1)), "Missing: none; unexpected: 'extra'"),
        (lambda s: s.update({WEIGHT: s[WEIGHT][:2]}), rf"'{WEIGHT}' has shape \(2, 16, 1\)"),
        (lambda s: s.update({WEIGHT: s[WEIGHT] * torch.nan}), f"'{WEIGHT}' contains NaN"),
        (lambda s: s.update({WEIGHT: s[WEIGHT].long()}), f"'{WEIGHT}' is of type torch.int64"),
        (lambda s: s.update(_dummy_variable=torch.ones(3)), "'_dummy_variable' must be empty"),
        (lambda s: s.pop(SCALE), f"Missing: '{SCALE}'"),
        (lambda s: s.pop("normalizer.params_dict.point_cloud.input_stats.std"), "point_cloud.input_stats.std"),
        (lambda s: s.update({SCALE.replace("action", "image"): torch.ones(1)}), "unexpected: .*image.scale"),
        (lambda s: s.update({SCALE: torch.zeros(4)}), "normalizer of 'action' has a scale of 0"),
        (lambda s: s.update({SCALE: torch.ones(3)}), r"normalizer of 'action' has shape \(3,\)"),
        (lambda s: s.update({"normalizer.odd": torch.ones(1)}), "unexpected: 'normalizer.odd'"),
        (lambda s: s.update({3: torch.ones(1)}), "not a named tensor"),
        (lambda s: s.update(x="text"), "not a named tensor"),
    ],
)
def test_every_tensor_is_accounted_for(change, message, tmp_path):
    original = changed(lambda o: change(o.payload["state_dicts"]["ema_model"]))
    refused(original.save(tmp_path / "x.ckpt"), message)


def test_clouds_and_imagined_robots_that_are_normalized_are_refused(tmp_path):
    original = make_original(imagined=True, identity=False)
    refused(original.save(tmp_path / "x.ckpt"), "'point_cloud' or 'imagin_robot'")


# ---- command line --------------------------------------------------------------------------------------


def test_nothing_is_overwritten_and_the_command_says_what_is_wrong(file, tmp_path):
    output = tmp_path / "policy"
    output.mkdir()
    result = CliRunner().invoke(app, ["import-checkpoint", str(file), "--output", str(output)])
    assert result.exit_code == 2
    assert f"--output={output}: exists already" in result.output
    missing = CliRunner().invoke(app, ["import-checkpoint", str(tmp_path / "no.ckpt"), "--output", str(output / "x")])
    assert missing.exit_code == 2
    assert "no such file" in missing.output


def test_the_command_imports(file, tmp_path):
    output = tmp_path / "policy"
    result = CliRunner().invoke(app, ["import-checkpoint", str(file), "--output", str(output), "--weights", "raw"])
    assert result.exit_code == 0, result.output
    assert "--policy.type=dp3" in result.output
    assert sorted(path.name for path in output.glob("*.safetensors")) == [
        "model.safetensors",
        "policy_postprocessor_step_0_unnormalizer_processor.safetensors",
        "policy_preprocessor_step_5_normalizer_processor.safetensors",
    ]


def test_what_an_interrupted_import_left_is_replaced(file, tmp_path):
    left = tmp_path / ".policy.unfinished"
    left.mkdir()
    (left / "half").touch()
    import_checkpoint(file, tmp_path / "policy")
    assert not left.exists()
    assert not (tmp_path / "policy" / "half").exists()

"""DexArt's official assets, imitated by small ones of the same layout: how they are read, and what is refused."""

import contextlib
import json
import shutil

import pytest

from lerobot_sdm.envs.dexart.assets import ROBOT_FILE, ROBOT_NAME
from lerobot_sdm.envs.dexart.configuration import DexArtPointCloudEnvConfig
from lerobot_sdm.envs.dexart.env import DexArtPointCloudEnv
from lerobot_sdm.envs.dexart.robot import JOINT_OF_LINK, LINKS
from lerobot_sdm.envs.dexart.urdf import read_urdf
from lerobot_sdm.envs.dexart.world import BASE_PART, HANDLE_PART, OTHER
from lerobot_sdm.errors import InputError

SMALL = {"num_points": 8, "camera_size": 16, "render_size": 16}
MESH = '<robot name="r"><link name="a"><visual><geometry><mesh filename="m.stl"/></geometry></visual></link></robot>'
BOX = """<link name="{name}"><{kind}><geometry><box size="0.2 0.3 0.01"/></geometry></{kind}></link>"""
LAPTOP = f"""<robot name="partnet"><link name="base"/>
{BOX.format(name="link_0", kind="collision")}{BOX.format(name="link_1", kind="collision")}
<joint name="joint_0" type="fixed"><parent link="base"/><child link="link_0"/></joint>
<joint name="joint_1" type="revolute"><parent link="link_0"/><child link="link_1"/>
<axis xyz="0 1 0"/><limit lower="0" upper="2" effort="1" velocity="1"/></joint></robot>"""


def robot_urdf() -> str:
    """The stand-in robot's tree as a URDF with two inertials in a link, and one that no body can have."""
    inertial = (
        '<inertial><mass value="0.1"/><inertia ixx="1e-5" iyy="1e-5" izz="{}" ixy="0" ixz="0" iyz="0"/></inertial>'
    )
    text = '<robot name="r"><link name="world"/>'
    for name, link in LINKS.items():
        text += f'<link name="{name}">{inertial.format("9e-5")}{inertial.format("1e-5")}'
        text += '<collision><geometry><sphere radius="0.01"/></geometry></collision></link>'
        kind, joint = ("revolute", JOINT_OF_LINK[name]) if link.axis else ("fixed", f"{name}_fixed")
        low, high = link.limits
        text += f'<joint name="{joint}" type="{kind}"><parent link="{link.parent or "world"}"/><child link="{name}"/>'
        text += f'<origin xyz="{" ".join(map(str, link.position))}" rpy="{" ".join(map(str, link.rpy))}"/>'
        text += f'<axis xyz="{" ".join(map(str, link.axis or (0, 0, 1)))}"/>'
        text += f'<limit lower="{low}" upper="{high}" effort="1" velocity="1"/></joint>'
    return text + "</robot>"


@pytest.fixture
def assets(tmp_path):
    """A folder in the layout of the official one, with a laptop of two boards."""
    (tmp_path / ROBOT_FILE).parent.mkdir(parents=True)
    (tmp_path / ROBOT_FILE).write_text(robot_urdf())
    thing, notes = tmp_path / "sapien/11395", tmp_path / "annotation"
    thing.mkdir(parents=True)
    notes.mkdir()
    (thing / "mobility.urdf").write_text(LAPTOP)
    (thing / "mobility_v2.json").write_text(json.dumps([{"id": 1, "joint": "hinge", "name": "lid"}]))
    (notes / "laptop_scale.json").write_text('{"11395": 0.5}')
    (notes / f"laptop_{ROBOT_NAME}_relative_position.json").write_text('{"11395": [0.5, 0, 0.1]}')
    (notes / "laptop_joint_annotation.json").write_text('{"11395": {"left": 0.3, "middle": 1.5}}')
    return tmp_path


@pytest.fixture
def env(assets):
    with contextlib.closing(DexArtPointCloudEnv("laptop", **SMALL, assets_dir=assets, objects="11395")) as made:
        made.reset(seed=0)
        yield made


def test_official_assets_are_read(env):
    assert env.bodies == "official"
    assert env.world.handle_range.middle == 1.5
    assert env.measured.angle == pytest.approx(0.5)
    # Half the size, above the robot's base by the annotation and at most 0.1 m of chance.
    assert env.world.model.geom_size[env.world.model.body("handle").geomadr[0]] == pytest.approx([0.05, 0.075, 0.0025])
    assert 0.1 <= env.world.data.body("object").xpos[2] <= 0.2


def test_the_bodies_of_an_official_object_are_its_parts(env):
    """Its URDF has an empty root, a base fixed to it, and the lid; the boards lie in one another, and do not touch."""
    model, world = env.world.model, env.world
    parts = {model.body(body).name: world._part[geom] for geom, body in enumerate(model.geom_bodyid)}
    assert (parts["link_0"], parts["handle"], parts["world"]) == (BASE_PART, HANDLE_PART, OTHER)
    assert model.body("object").geomnum == 0
    touching = {
        frozenset(model.body(body).name for body in model.geom_bodyid[pair]) for pair in world.data.contact.geom
    }
    assert frozenset(("link_0", "handle")) not in touching


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda folder: shutil.rmtree(folder / "sapien"), "lacks sapien"),
        (lambda folder: (folder / ROBOT_FILE).unlink(), r"rotate.urdf' is missing"),
        (lambda folder: (folder / "sapien/11395/mobility.urdf").unlink(), r"mobility.urdf' of object 11395 is missing"),
        (lambda folder: (folder / "annotation/laptop_scale.json").write_text("{"), "not JSON"),
        (lambda folder: (folder / "annotation/laptop_scale.json").write_text('{"11395": 0}'), "scale of object 11395"),
        (lambda folder: (folder / "annotation/laptop_joint_annotation.json").write_text('{"11395": {}}'), "left"),
        (lambda folder: (folder / "sapien/11395/mobility.urdf").write_text(LAPTOP.replace("_1", "_2")), "no joint"),
        (lambda folder: (folder / "sapien/11395/mobility.urdf").write_text(MESH), "mesh 'm.stl'"),
    ],
)
def test_damaged_assets_are_named(assets, damage, message):
    damage(assets)
    with pytest.raises(InputError, match=message):
        DexArtPointCloudEnvConfig(task="laptop", assets_dir=str(assets), objects="11395")


def test_objects_must_be_in_the_lists(assets):
    with pytest.raises(InputError, match="'148' is not known"):
        DexArtPointCloudEnvConfig(task="laptop", assets_dir=str(assets), objects="148")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<robot", "not an XML"),
        ("<mujoco/>", "not a URDF"),
        (MESH, "mesh 'm.stl'"),
        ('<robot name="r"><link name="a"/><link name="a"/></robot>', "cannot compile"),
    ],
)
def test_urdfs_beyond_repair_are_refused(tmp_path, text, message):
    (tmp_path / "r.urdf").write_text(text)
    with pytest.raises(InputError, match=message):
        read_urdf(tmp_path / "r.urdf")


@pytest.mark.parametrize("build", [DexArtPointCloudEnv, DexArtPointCloudEnvConfig])
@pytest.mark.parametrize(
    ("change", "lacking"),
    [
        (lambda text: '<robot name="r"><link name="world"/></robot>', "link_base"),
        (lambda text: text.replace('name="joint_13.0" type="revolute"', 'name="joint_13.0" type="fixed"'), "joint_13"),
    ],
)
def test_another_robot_is_refused_before_anything_is_made(assets, build, change, lacking):
    robot = assets / ROBOT_FILE
    robot.write_text(change(robot.read_text()))
    with pytest.raises(InputError, match=f"another robot: it has no {lacking}"):
        build(task="laptop", assets_dir=str(assets), objects="11395")

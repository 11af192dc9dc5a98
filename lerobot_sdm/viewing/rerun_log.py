"""Shows an episode in Rerun: the cloud over time next to images, actions, and state."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import rerun as rr
import rerun.blueprint as rrb
from numpy.typing import NDArray
from tqdm import tqdm

from lerobot_sdm.files import new_file
from lerobot_sdm.viewing.episode import Corners, ShownEpisode, Signal, without_padding
from lerobot_sdm.viewing.palette import SECOND_CLOUD, Scene, depth_range, line_colors

DARK = (16, 18, 24)
# Larger images are compressed: this keeps recordings small, but a viewer shows the images slightly late.
LARGE_IMAGE = 256 * 256  # pixels
MANY_LINES = 7


def blueprint(episode: ShownEpisode, scene: Scene) -> rrb.Blueprint:
    """The layout: the cloud on the left, images and curves on the right."""
    pictures = [rrb.Spatial2DView(origin=key, name=key) for key in (*episode.images, *episode.depths)]
    curves = [
        rrb.TimeSeriesView(
            origin=key,
            name=key,
            # More names than this would cover the curves.
            plot_legend=rrb.PlotLegend(corner=rrb.Corner2D.RightTop, visible=len(curve.names) <= MANY_LINES),
        )
        for key, curve in episode.signals.items()
    ]
    main, further = curves[:2], curves[2:]
    right = [rrb.Horizontal(*pictures[:2], *([rrb.Tabs(*pictures[2:])] if pictures[2:] else []))] if pictures else []
    right += main
    right += [rrb.Tabs(*further, rrb.TextDocumentView(origin="about", name="about"), active_tab=0)]
    column = rrb.Vertical(*right, row_shares=[3] * bool(pictures) + [2] * len(main) + [2])
    if not episode.clouds:
        return rrb.Blueprint(column, _time_panel(), collapse_panels=True)
    space = rrb.Spatial3DView(
        origin="scene",
        name=f"point cloud: {episode.title}",
        background=rrb.Background(color=DARK),
        line_grid=rrb.LineGrid3D(visible=False),
        eye_controls=rrb.EyeControls3D(
            position=scene.center + scene.eye() * scene.size * 0.95, look_target=scene.center, eye_up=(0, 0, 1)
        ),
    )
    return rrb.Blueprint(rrb.Horizontal(space, column, column_shares=[3, 2]), _time_panel(), collapse_panels=True)


def log(episode: ShownEpisode, scene: Scene, recording: rr.RecordingStream) -> None:
    """Send a whole episode to a recording, frame by frame."""
    recording.log("scene", rr.ViewCoordinates.RIGHT_HAND_Z_UP, static=True)
    recording.log("about", rr.TextDocument(_about(episode, scene), media_type=rr.MediaType.MARKDOWN), static=True)
    if episode.crop is not None:
        recording.log("scene/crop", _box(episode.crop), static=True)
    for key, curve in episode.signals.items():
        _send_curves(recording, key, curve, episode.seconds())
    sample = [episode.read(index) for index in episode.moments(5)] if episode.depths else []
    ranges = {key: depth_range([frame[key] for frame in sample]) for key in episode.depths}
    for index in tqdm(range(episode.length), desc="Writing", unit="frame"):
        recording.set_time("frame_index", sequence=index)
        recording.set_time("timestamp", duration=index / episode.fps)
        frame = episode.read(index)
        for number, key in enumerate(episode.clouds):
            recording.log(f"scene/{key}", points_of(frame[key], scene, first=number == 0))
        for key in episode.images:
            image = rr.Image(frame[key])
            is_large = frame[key][..., 0].size > LARGE_IMAGE
            recording.log(key, image.compress(jpeg_quality=90) if is_large else image)
        for key in episode.depths:
            colors = {"colormap": rr.components.Colormap.Turbo, "depth_range": ranges[key]}
            recording.log(key, rr.DepthImage(frame[key], meter=1.0, **colors))


def save(episode: ShownEpisode, scene: Scene, path: Path) -> None:
    """Write an episode to an `.rrd` file, which appears only when it is complete."""
    with new_file(path) as unfinished:
        recording = _recording(episode)
        recording.save(unfinished)
        _send(episode, scene, recording)
        recording.disconnect()


def show(episode: ShownEpisode, scene: Scene) -> None:
    """Open Rerun's viewer on this machine's screen."""
    recording = _recording(episode)
    recording.spawn()
    _send(episode, scene, recording)


def serve(episode: ShownEpisode, scene: Scene, port: int, web_port: int) -> str:
    """Serve an episode to viewers (`port`) and browsers (`web_port`) on other machines, until this process ends.

    Returns:
        The address for viewers.
    """
    recording = _recording(episode)
    address = recording.serve_grpc(grpc_port=port)
    rr.serve_web_viewer(web_port=web_port, open_browser=False, connect_to=address)
    _send(episode, scene, recording)
    return address


def _recording(episode: ShownEpisode) -> rr.RecordingStream:
    return rr.RecordingStream(f"lerobot_sdm/{episode.title}", recording_id=episode.title)


def _send(episode: ShownEpisode, scene: Scene, recording: rr.RecordingStream) -> None:
    # Make it active, because a viewer remembers an application's last layout and would prefer that one.
    recording.send_blueprint(blueprint(episode, scene), make_active=True, make_default=True)
    log(episode, scene, recording)
    recording.flush()


def points_of(cloud: NDArray, scene: Scene, first: bool) -> rr.Points3D:
    """Rerun points of a cloud (N, C), without padding; further clouds get a single color."""
    points = without_padding(cloud)
    colors = scene.colors(points) if first else np.broadcast_to(SECOND_CLOUD, (len(points), 3))
    return rr.Points3D(points[:, :3], colors=colors, radii=_radius(len(points)) * scene.size)


def _radius(points: int) -> float:
    """Dot radius relative to the scene's diagonal, with which dots almost touch without hiding each other."""
    return float(np.clip(0.18 / np.sqrt(max(points, 1)), 0.002, 0.008))


def _box(crop: Corners) -> rr.Boxes3D:
    low, high = np.array(crop)
    wires = rr.components.FillMode.MajorWireframe
    return rr.Boxes3D(mins=[low], sizes=[high - low], colors=[(120, 130, 150)], fill_mode=wires)


def _send_curves(recording: rr.RecordingStream, key: str, curve: Signal, seconds: NDArray[np.float64]) -> None:
    recording.log(key, rr.SeriesLines(names=list(curve.names), colors=line_colors(len(curve.names))), static=True)
    indexes: Iterable[rr.TimeColumn] = [
        rr.TimeColumn("frame_index", sequence=np.arange(len(seconds))),
        rr.TimeColumn("timestamp", duration=seconds),
    ]
    recording.send_columns(key, indexes, rr.Scalars.columns(scalars=curve.values))


def _time_panel() -> rrb.TimePanel:
    return rrb.TimePanel(state="collapsed", timeline="timestamp", loop_mode="all", play_state="playing")


def _about(episode: ShownEpisode, scene: Scene) -> str:
    facts = {"task": episode.task, **episode.facts}
    seconds = episode.length / episode.fps
    facts["length"] = f"{episode.length} frames at {episode.fps:g} per second, {seconds:.1f} s"
    if episode.clouds:
        facts["points lie in"] = scene.extent()
    lines = [f"- **{label}**: {text}" for label, text in facts.items() if text]
    return "\n".join([f"# {episode.title}", "", *lines])

"""Every metric of every process, with its help text. Base units, low cardinality.

A test compares ``docs/metrics.md`` with this file.
"""

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from time import perf_counter, time

from prometheus_client import Counter, Gauge, Histogram

_STAGE_BUCKETS = (
    0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
)  # fmt: skip
_LATENCY_BUCKETS = (
    0.025, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0, 300.0,
)  # fmt: skip
_FILL_BUCKETS = (1, 2, 4, 8, 16, 32, 64, 128)

EVENTS = Counter("fecapass_events_consumed_total", "Messages that have an outcome.", ["topic"])
DROPPED = Counter(
    "fecapass_events_dropped_total",
    "Messages that changed nothing: duplicates of events that have a result (`duplicate`), and "
    "frames that are too old (`stale`).",
    ["topic", "reason"],
)
FACES = Counter("fecapass_faces_detected_total", "Faces found by the detector.", ["topic"])
LIVENESS = Counter(
    "fecapass_faces_by_liveness_total",
    "Faces whose liveness is checked, by result: live, spoof, input_rejected (at the border, too "
    "small or too dark), not_run (followed from an earlier frame).",
    ["topic", "status"],
)
STAGE_SECONDS = Histogram(
    "fecapass_stage_duration_seconds",
    "Time that a batch spends in a stage.",
    ["stage"],
    buckets=_STAGE_BUCKETS,
)
BATCH_FILL = Histogram(
    "fecapass_batch_fill_messages", "Messages in a batch.", ["topic"], buckets=_FILL_BUCKETS
)
LATENCY_SECONDS = Histogram(
    "fecapass_end_to_end_latency_seconds",
    "From ce_time to the match event that the broker has acknowledged.",
    buckets=_LATENCY_BUCKETS,
)
FACES_FOLLOWED = Counter(
    "fecapass_faces_followed_total",
    "Faces of frames that were not embedded, because they have the embedding of their track.",
)
FRAMES_UNCHANGED = Counter(
    "fecapass_frames_unchanged_total",
    "Frames that were not searched for faces, because they show what the frame before showed.",
)
MATCHES = Counter(
    "fecapass_matches_total",
    "Faces identified, by outcome: matched, below_threshold, ambiguous, empty_gallery, unreliable, "
    "vetoed, spoof_suspected.",
    ["outcome"],
)
UPLOADS = Counter(
    "fecapass_uploads_total", "Uploads answered, by outcome: enrolled, refused, searched, failed.",
    ["outcome"],
)  # fmt: skip
RETRIES = Counter(
    "fecapass_retries_total", "Attempts that failed and were retried.", ["topic"]
)  # fmt: skip
DEAD_LETTERS = Counter(
    "fecapass_dead_letters_total", "Messages that became dead letters.", ["topic", "reason"]
)
QUARANTINED = Counter(
    "fecapass_quarantined_messages_total",
    "Dead letters that do not count towards the limit that stops a worker, because only their "
    "sender is at fault.",
    ["topic"],
)
QUARANTINED_SENDERS = Gauge(
    "fecapass_quarantined_senders",
    "Cameras (for uploads: sources) whose last messages to this worker are mostly dead letters, "
    "while messages of others are processed.",
    ["topic"],
)
UNTRUSTED_TIMES = Counter(
    "fecapass_untrusted_times_total",
    "Images whose ce_time is not trusted: too far after Kafka's time, or years before it.",
    ["topic"],
)
CONSUMER_LAG = Gauge(
    "fecapass_consumer_lag_messages",
    "Messages in the broker that this worker has not acknowledged yet.",
    ["topic", "partition"],
)
IN_FLIGHT = Gauge(
    "fecapass_in_flight_messages",
    "Messages that were received and are not acknowledged yet.",
    ["topic"],
)
MODEL_INFO = Gauge(
    "fecapass_model_info",
    "The models in use, where they run (cpu+openvino if they differ) and the precision; always 1.",
    ["detector", "embedder", "execution_provider", "precision"],
)
GALLERY_TEMPLATES = Gauge(
    "fecapass_gallery_templates", "People in this worker's copy of the gallery.", ["model"]
)
GALLERY_AGE_SECONDS = Gauge(
    "fecapass_gallery_age_seconds",
    "Time since this worker's copy of the gallery was last known to be current.",
    ["model"],
)
VETOES = Gauge(
    "fecapass_vetoes",
    "Faces that people have said not to be a user, in this worker's copy, by model and state: idle "
    "ones have no embedding of the model and decide nothing.",
    ["model", "state"],
)
VISITS_OPEN = Gauge(
    "fecapass_visits_open", "People who are at the cameras of this worker, as visits count them."
)
VISITS_STARTED = Counter(
    "fecapass_visits_started_total",
    "Visits announced as started, by whether the user was known then.",
    ["known"],
)
VISITS_ENDED = Counter(
    "fecapass_visits_ended_total",
    "Visits announced as ended, by reason (left, silent, maximum, merged) and by whether "
    "the user is known.",
    ["reason", "known"],
)
VISIT_IDENTITY_CHANGES = Counter(
    "fecapass_visit_identity_changes_total",
    "Visits announced with another user, or with a user who was unknown before.",
)
VISIT_FACES_LATE = Counter(
    "fecapass_visit_faces_late_total",
    "Faces that came later than the grace: they joined their visit, or were dropped.",
    ["outcome"],
)
VISIT_START_SECONDS = Histogram(
    "fecapass_visit_start_seconds",
    "From the time of a visit's first face to the announcement that it has started.",
    ["known"],
    buckets=_LATENCY_BUCKETS,
)
UNKNOWN_TEMPLATES = Gauge(
    "fecapass_unknown_templates", "Unknowns in this worker's copy of their gallery.", ["model"]
)
UNKNOWNS_AGE_SECONDS = Gauge(
    "fecapass_unknowns_age_seconds",
    "Time since this worker's copy of the gallery of unknowns was last known to be current.",
    ["model"],
)
UNKNOWN_VISITS = Counter(
    "fecapass_unknown_visits_total",
    "Visits of unknown people that have ended, by outcome: joined (the unknown was seen before), "
    "below_threshold, ambiguous, no_other (they begin another unknown), left_out (too few or too "
    "poor faces, or a picture of a person).",
    ["outcome"],
)
UNKNOWNS_MERGED = Counter(
    "fecapass_unknowns_merged_total",
    "Unknowns that the consolidation has found to be the same person as an older one.",
)
UNKNOWN_ASSIGN_SECONDS = Histogram(
    "fecapass_unknown_assign_seconds",
    "Time to find out which unknown a visit is of, with all that is written for it.",
    buckets=_STAGE_BUCKETS,
)
CACHE_ERRORS = Counter(
    "fecapass_cache_errors_total",
    "Calls to the Redis cache that failed; the worker continued without it.",
)
HTTP_REQUESTS = Counter(
    "fecapass_http_requests_total",
    "Requests that the API answered, by method, route and status.",
    ["method", "route", "status"],
)
HTTP_SECONDS = Histogram(
    "fecapass_http_request_duration_seconds",
    "From the request's first byte to the response's last, by route, without streams.",
    ["route"],
    buckets=_LATENCY_BUCKETS,
)
HTTP_REFUSED = Counter(
    "fecapass_http_refused_total",
    "Requests refused before the route: no key, a wrong key, a missing scope, too many requests.",
    ["reason"],
)
RATE_FALLBACKS = Counter(
    "fecapass_http_rate_fallbacks_total",
    "Requests counted only in this process for their key's limit, because Redis was unavailable.",
)
UPLOAD_BYTES = Gauge(
    "fecapass_upload_bytes",
    "Bytes of memory that requests of this API process have reserved for photos.",
)
LIVE_LISTENERS = Gauge(
    "fecapass_live_listeners", "Open streams of matches and visits of this API process."
)
LIVE_GAPS = Counter(
    "fecapass_live_gaps_total", "Times that a slow listener of a stream lost events."
)
FAULTS_FOUND = Counter(
    "fecapass_faults_found_total",
    "Faults between the stores that the reconciler found, dry runs included.",
    ["fault"],
)
FAULTS_REPAIRED = Counter(
    "fecapass_faults_repaired_total",
    "Faults between the stores that the reconciler repaired.",
    ["fault"],
)
RETENTION_DELETED = Counter(
    "fecapass_retention_deleted_total",
    "Deleted because it was too old: sightings, visits, crops, embeddings, unknowns, cache "
    "entries, ledger rows.",
    ["what"],
)
MAINTENANCE_LAST_SUCCESS = Gauge(
    "fecapass_maintenance_last_success_timestamp_seconds",
    "When this process last finished a whole round of maintenance (Unix time).",
)
MAINTENANCE_FAILURES = Counter(
    "fecapass_maintenance_failures_total", "Rounds of maintenance that failed."
)

TASK_RESTARTS = Counter(
    "fecapass_task_restarts_total",
    "Background tasks of this process that ended and were restarted, by task.",
    ["task"],
)
GROUP_LAG_SECONDS = Gauge(
    "fecapass_group_lag_seconds",
    "Age of the oldest message that a consumer group has not processed yet, as the API reads it "
    "from the broker; also correct while no worker runs.",
    ["group"],
)

CAMERA_LAST_FRAME = Gauge(
    "fecapass_camera_last_frame_timestamp_seconds",
    "When this worker last received a frame of a camera (Unix time); only the most recent cameras.",
    ["camera"],
)

#: Producers choose the names of cameras, so a worker remembers only this number of the latest ones.
MOST_CAMERAS = 1000
_cameras: OrderedDict[str, None] = OrderedDict()


def saw_camera(camera: str) -> None:
    """Note that a frame of this camera was taken now."""
    _cameras[camera] = None
    _cameras.move_to_end(camera)
    CAMERA_LAST_FRAME.labels(camera=camera).set(time())
    if len(_cameras) > MOST_CAMERAS:
        forgotten, _ = _cameras.popitem(last=False)
        CAMERA_LAST_FRAME.remove(forgotten)


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Observe the time that the body takes as a stage of this name."""
    began = perf_counter()
    try:
        yield
    finally:
        STAGE_SECONDS.labels(stage=name).observe(perf_counter() - began)

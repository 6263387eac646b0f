// What travels between the page and the station, as types alone (edge/panel/wire.py writes it, hub.py the status).

/** @typedef {import("./geometry.js").Box} Box */
/** @typedef {{detection_id: string, class_name: string, score: number, box: Box}} Found */
/**
 * @typedef {{frame_id: string, camera: string, part_id: string, verdict: string, verdict_reason: string,
 *   width: number, height: number, captured_unix_ms: number, total_us: number, detections: Found[]}} Decision
 */
/**
 * @typedef {{frame_id: string, camera: string, part_id: string, width: number, height: number, captured_unix_ms: number,
 *   verdict: string, verdict_reason: string, because: string, probability: number, model: string}} KeptFrame
 */
/** @typedef {{name: string, version: string, digest: string, classes: string[]}} Model */
/**
 * A detection to judge. `revisions` and the like: by operator, the highest said so far.
 * @typedef {Found & {frame: KeptFrame, revisions: Record<string, number>, frame_revisions: Record<string, number>,
 *   missed: Record<string, number>}} Item
 */
/** @typedef {{items: Item[], waiting: number, models: Record<string, Model>}} QueueAnswer */
/**
 * @typedef {{detection_id: string, gesture: string, class_name: string, box: Box | null, missed_index: number,
 *   revision: number, operator: string, log_sequence: number}} Said
 */
/** @typedef {{frame: KeptFrame, detections: Found[], events: Said[], models: Record<string, Model>}} FrameRecord */
/** @typedef {{name: string, state: "running" | "lost" | "ended", message: string, last: Decision | null}} CameraLine */
/**
 * @typedef {{name: string, frames: number, alarms: number, errors: number, baseline_frames: number,
 *   baseline_alarms: number}} Probation
 */
/**
 * @typedef {{name: string, frames: number, wanted: number, dropped: number, pass_to_reject: number,
 *   reject_to_pass: number}} Shadow
 */
/**
 * @typedef {{station: string, boot_id: string, beat: number, now_unix_ms: number, model: Model | null,
 *   swap: {probation: Probation | null, shadow: Shadow | null},
 *   storage: {state: "ok" | "full" | "fault", trouble: string, kept: number, said: number}, cameras: CameraLine[],
 *   counts: {PASS: number, REJECT: number, NO_VERDICT: number},
 *   recent: {sequence: number, verdict: string}[]}} Status
 */
/**
 * A model the station knows (edge/panel/models.py).
 * @typedef {{name: string, version: string, digest: string, state: string, serving: boolean, since_unix_ms: number,
 *   reason: string, message: string,
 *   probation: {frames: number, alarms: number, errors: number, baseline_frames: number, baseline_alarms: number} | null,
 *   shadow: {frames: number, wanted: number, pass_to_reject: number, reject_to_pass: number} | null,
 *   replay: {done: number, total: number, finished: boolean, escapes: number, defects: number} | null}} ModelEntry
 */
/**
 * @typedef {{models: ModelEntry[], way_back: ModelEntry | null, frozen: string, may_roll_back: boolean,
 *   may_activate: boolean}} ModelsAnswer
 */
/**
 * `offered`: names a login shows. `who`: who is logged in; null: nobody, or the station asks for none.
 * @typedef {{operator: string, operators: string[], language: string, login: boolean, offered: string[],
 *   who: {name: string, role: "viewer" | "operator" | "engineer" | "admin"} | null, no_accounts: boolean}} Setup
 */
/**
 * lineside.v1.Feedback in protobuf's JSON, names as in mentoring.proto.
 * @typedef {{key: string, frame_id: string, detection_id?: string, gesture: string, class_name?: string,
 *   box?: {x1: number, y1: number, x2: number, y2: number}, revision: number, operator: string, seconds: number,
 *   client_unix_ns: string, missed_index?: number}} Feedback
 */
/** @typedef {{key: string, code: number, reason: string, message: string, log_sequence?: number, duplicate?: boolean}} Ack */

export {};

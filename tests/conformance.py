"""What remains of a clip after a render, each row with its test.

``python tests/conformance.py`` writes the table into the page.
"""

from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "reference" / "compatibility.md"
BEGIN, END = "<!-- conformance -->\n", "<!-- end of conformance -->"

KEPT = "kept"

ROWS = [
    # in the source, in the output, the exception, the test
    (
        "constant frame rates, also 23.976, 29.97, 59.94",
        "times exact",
        "",
        "video_writer::test_video_writer_keeps_exact_timestamps",
    ),
    (
        "variable frame rates",
        "times exact",
        "Matroska and WebM store milliseconds",
        "video_writer::test_video_writer_keeps_a_variable_rate",
    ),
    (
        "timestamps that start anywhere (broadcasts)",
        "start at 0",
        "",
        "timestamps::test_open_source_starts_timestamps_at_zero",
    ),
    (
        "joined segments",
        "no frame doubled or lost, dts rise",
        "",
        "mux::test_join_keeps_every_packet_once",
    ),
    (
        "several audio tracks",
        "every packet copied",
        "AAC in Matroska: all streams 23 ms later",
        "mux::test_mux_copies_audio_packets",
    ),
    (
        "audio sync",
        "within 1 ms: AAC, MP3, AC-3, Opus, FLAC, PCM",
        "where timestamps jump: one audio frame; a part starts with its first complete audio frame",
        "mux::test_mux_keeps_audio_in_sync",
    ),
    (
        "audio that the output cannot hold",
        "re-encoded in sync, see Audio",
        "unknown codec: left out, named",
        "sound::test_plan_audio_copies_or_re_encodes_in_sync",
    ),
    (
        "audio that starts late (edit lists)",
        "within 1 ms",
        "",
        "mux::test_mux_keeps_a_late_audio_start",
    ),
    (
        "subtitles",
        KEPT,
        "MP4 shows one cue at a time; bitmap subtitles (PGS) only in Matroska",
        "side_streams::test_side_streams_are_kept_in_matroska",
    ),
    (
        "text subtitles, MP4 to Matroska and back",
        "mov_text, SubRip",
        "styling may be lost",
        "side_streams::test_side_streams_of_mp4_are_kept",
    ),
    (
        "text subtitles in WebM",
        "WebVTT",
        "",
        "side_streams::test_side_streams_transcode_subtitles_to_webvtt",
    ),
    (
        "chapters, languages, titles, tags",
        KEPT,
        "",
        "side_streams::test_side_streams_are_kept_in_matroska",
    ),
    (
        "a part (-ss, -to) of all these",
        "trimmed and retimed",
        "",
        "side_streams::test_side_streams_of_a_part_are_trimmed",
    ),
    (
        "attachments (fonts)",
        KEPT,
        "Matroska only",
        "side_streams::test_mux_names_dropped_streams",
    ),
    (
        "cover art",
        "kept, not stylised",
        "not in WebM",
        "side_streams::test_copy_cover_keeps_cover_art",
    ),
    (
        "a second video stream, data streams",
        "left out, named",
        "",
        "side_streams::test_side_streams_name_a_second_video_stream",
    ),
    (
        "rotation, pixel aspect ratio",
        KEPT,
        "VP9, AV1, FFV1 in Matroska and WebM: square pixels; GIF, WebP, images, pipes: rotated",
        "video_writer::test_video_writer_keeps_rotation_and_aspect_ratio",
    ),
    (
        "360-degree and 3D metadata",
        "left out, named",
        "",
        "sidedata::test_open_source_names_lost_spherical_and_stereoscopic_metadata",
    ),
    ("raw DV", "its own frame rate", "", "sizes::test_video_file_reads_the_rate_of_raw_dv"),
    (
        "high frame rates in GIF and WebP",
        "exact length, frames dropped and counted",
        "50 and 90 frames per second at most: browsers slow down faster ones",
        "sizes::test_animate_keeps_the_duration",
    ),
    (
        "tiny sizes",
        KEPT,
        "below 2x2 px only VP9; below 16x16 px no HEVC: refused with a remedy",
        "sizes::test_select_encoder_refuses_tiny_clips_with_a_working_remedy",
    ),
    (
        "odd sizes",
        KEPT,
        "H.264, HEVC, AV1, ProRes: one row or column less",
        "conformance::test_open_sink_keeps_odd_sizes_where_the_codec_can",
    ),
    (
        "BT.601, 709, 2020, limited and full range",
        "tagged, within 2 levels",
        "FFV1 holds RGB",
        "conformance::test_open_sink_keeps_colours_and_tags",
    ),
    ("10 bits", KEPT, "VP9: 8 bits", "conformance::test_open_sink_keeps_ten_bits"),
    (
        "HDR10 with its metadata",
        KEPT,
        "metadata by HEVC only; GIF, WebP, images: standard range",
        "hdr::test_open_sink_keeps_hdr10_and_its_metadata",
    ),
    (
        "HDR10 and HLG to standard range",
        "--hdr sdr",
        "",
        "hdr::test_open_source_maps_hdr_to_standard_range_on_request",
    ),
    (
        "interlaced video",
        "deinterlaced (bwdif), same times",
        "",
        "conformance::test_open_source_deinterlaces_and_keeps_times",
    ),
    (
        "alpha of images",
        KEPT,
        "not in JPEG",
        "conformance::test_open_sink_keeps_alpha_depth_and_orientation_of_an_image",
    ),
    (
        "colour profiles of images and styles",
        "converted to sRGB, written as sRGB without a profile",
        "not of BMP, nor of images through a pipe or from an address",
        "pictures::test_read_image_converts_a_colour_profile_to_srgb",
    ),
    (
        "HEIC images made of tiles",
        "joined",
        "needs `vidstyle[heic]`, else refused; 8 bits",
        "pictures::test_open_source_joins_the_tiles_of_heic",
    ),
    (
        "animated images, pages of a TIFF",
        "the first one, with a message",
        "GIF is a clip, except as a style",
        "pictures::test_decode_image_uses_the_first_of_several_images_and_warns",
    ),
    (
        "alpha of clips",
        "ProRes, FFV1, VP9",
        "",
        "conformance::test_open_sink_keeps_alpha_where_the_codec_can",
    ),
    (
        "frames without times",
        "consecutive, counted",
        "",
        "timestamps::test_open_source_times_frames_without_timestamps_consecutively",
    ),
    (
        "timestamps that jump",
        "gap closed, counted",
        "",
        "timestamps::test_open_source_closes_timestamp_jumps_and_keeps_audio_in_sync",
    ),
    (
        "damaged video packets",
        "skipped, counted",
        "",
        "source::test_open_source_skips_damaged_packets",
    ),
    (
        "damaged audio packets",
        "left out, counted",
        "",
        "mux::test_audio_order_counts_damaged_packets",
    ),
    (
        "truncated files",
        "as far as they can be read, with a message",
        "MP4 without its index: refused",
        "timestamps::test_open_source_reads_a_truncated_clip_and_warns",
    ),
    (
        "a frame size that changes",
        "the first size, counted",
        "",
        "conformance::test_open_source_counts_frames_of_another_size",
    ),
]


def table():
    """The rows as a Markdown table."""
    lines = ["| in the source | in the output | exception |", "|---|---|---|"]
    lines += [f"| {what} | {becomes} | {exception} |" for what, becomes, exception, _ in ROWS]
    exceptions = sum(bool(exception) for _, _, exception, _ in ROWS)
    return "\n".join(lines) + f"\n\n{len(ROWS)} rows, {exceptions} of them with an exception.\n"


def main():
    """Write the table into the page."""
    before, rest = PAGE.read_text().split(BEGIN)
    PAGE.write_text(before + BEGIN + table() + END + rest.split(END)[1])


if __name__ == "__main__":
    main()

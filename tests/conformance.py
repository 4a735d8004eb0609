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
        "sink::test_times_stay_exact",
    ),
    (
        "variable frame rates",
        "times exact",
        "Matroska and WebM store milliseconds",
        "sink::test_a_variable_rate_stays_variable",
    ),
    (
        "timestamps that start anywhere (broadcasts)",
        "start at 0",
        "",
        "conformance::test_a_clock_that_begins_anywhere_begins_at_zero",
    ),
    (
        "joined segments",
        "no frame doubled or lost, dts rise",
        "",
        "mux::test_segments_become_one_clip_with_nothing_doubled_or_lost",
    ),
    (
        "several audio tracks",
        "every packet copied",
        "AAC in Matroska: all streams 23 ms later",
        "sink::test_every_sound_is_copied_packet_for_packet",
    ),
    (
        "audio sync",
        "within 1 ms: AAC, MP3, AC-3, Opus, FLAC, PCM",
        "where timestamps jump: one audio frame; a part starts with its first complete audio frame",
        "mux::test_sound_stays_in_step_within_a_millisecond",
    ),
    (
        "audio that the output cannot hold",
        "re-encoded in sync, see Audio",
        "unknown codec: left out, named",
        "sound::test_sound_is_copied_or_re_encoded_in_step_as_the_page_says",
    ),
    (
        "audio that starts late (edit lists)",
        "within 1 ms",
        "",
        "mux::test_sound_that_begins_late_by_an_edit_list_begins_late",
    ),
    (
        "subtitles",
        KEPT,
        "MP4 shows one cue at a time; bitmap subtitles (PGS) only in Matroska",
        "mux::test_everything_beside_the_pictures_is_kept",
    ),
    (
        "text subtitles, MP4 to Matroska and back",
        "mov_text, SubRip",
        "styling may be lost",
        "mux::test_what_mp4_has_is_kept_in_mp4_and_matroska",
    ),
    ("text subtitles in WebM", "WebVTT", "", "mux::test_text_goes_into_webm_as_webvtt"),
    (
        "chapters, languages, titles, tags",
        KEPT,
        "",
        "mux::test_everything_beside_the_pictures_is_kept",
    ),
    (
        "a part (-ss, -to) of all these",
        "trimmed and retimed",
        "",
        "mux::test_a_part_takes_its_share_of_everything",
    ),
    (
        "attachments (fonts)",
        KEPT,
        "Matroska only",
        "sink::test_what_the_container_cannot_hold_is_named",
    ),
    ("cover art", "kept, not stylised", "not in WebM", "mux::test_a_cover_stays_a_cover"),
    (
        "a second video stream, data streams",
        "left out, named",
        "",
        "mux::test_a_second_camera_is_left_out_and_named",
    ),
    (
        "rotation, pixel aspect ratio",
        KEPT,
        "VP9, AV1, FFV1 in Matroska and WebM: square pixels; GIF, WebP, images, pipes: rotated",
        "sink::test_rotation_and_pixel_shape_are_kept",
    ),
    (
        "360-degree and 3D metadata",
        "left out, named",
        "",
        "sidedata::test_lost_views_are_named_when_a_clip_is_opened",
    ),
    ("raw DV", "its own frame rate", "", "sizes::test_raw_dv_has_its_own_rate"),
    (
        "high frame rates in GIF and WebP",
        "exact length, frames dropped and counted",
        "50 and 90 frames per second at most: browsers slow down faster ones",
        "sizes::test_animations_keep_their_length_and_no_frame_is_too_brief",
    ),
    (
        "tiny sizes",
        KEPT,
        "below 2x2 px only VP9; below 16x16 px no HEVC: refused with a remedy",
        "sizes::test_tiny_clips_are_written_or_refused_with_a_remedy_that_works",
    ),
    (
        "odd sizes",
        KEPT,
        "H.264, HEVC, AV1, ProRes: one row or column less",
        "conformance::test_odd_sizes_are_kept_where_the_codec_can",
    ),
    (
        "BT.601, 709, 2020, limited and full range",
        "tagged, within 2 levels",
        "FFV1 holds RGB",
        "conformance::test_a_chart_keeps_its_colours_and_tags",
    ),
    ("10 bits", KEPT, "VP9: 8 bits", "conformance::test_ten_bits_stay_ten_bits"),
    (
        "HDR10 with its metadata",
        KEPT,
        "metadata by HEVC only",
        "conformance::test_hdr10_is_passed_on_with_its_metadata",
    ),
    (
        "HDR10 and HLG to standard range",
        "--hdr sdr",
        "",
        "conformance::test_hdr_becomes_standard_range_by_choice",
    ),
    (
        "interlaced video",
        "deinterlaced (bwdif), same times",
        "",
        "conformance::test_interlaced_pictures_are_deinterlaced_and_keep_their_times",
    ),
    (
        "alpha of images",
        KEPT,
        "not in JPEG",
        "conformance::test_a_still_keeps_alpha_depth_and_orientation",
    ),
    (
        "colour profiles of images and styles",
        "converted to sRGB, written as sRGB without a profile",
        "not of BMP, nor of images through a pipe or from an address",
        "pictures::test_pictures_are_read_into_srgb_from_their_colour_profile",
    ),
    (
        "HEIC images made of tiles",
        "joined",
        "needs `vidstyle[heic]`, else refused; 8 bits",
        "pictures::test_the_tiles_of_a_heic_picture_are_joined",
    ),
    (
        "animated images, pages of a TIFF",
        "the first one, with a message",
        "GIF is a clip, except as a style",
        "pictures::test_one_of_several_pictures_is_said_to_be_used",
    ),
    (
        "alpha of clips",
        "ProRes, FFV1, VP9",
        "",
        "conformance::test_alpha_is_kept_where_the_codec_can",
    ),
    (
        "frames without times",
        "consecutive, counted",
        "",
        "conformance::test_frames_without_times_follow_one_another",
    ),
    (
        "timestamps that jump",
        "gap closed, counted",
        "",
        "conformance::test_clocks_that_jump_are_closed_and_sound_stays_in_step",
    ),
    (
        "damaged video packets",
        "skipped, counted",
        "",
        "source::test_damaged_packets_are_passed_over",
    ),
    (
        "damaged audio packets",
        "left out, counted",
        "",
        "mux::test_damaged_sound_is_left_out_and_counted",
    ),
    (
        "truncated files",
        "as far as they can be read, with a message",
        "MP4 without its index: refused",
        "conformance::test_a_clip_cut_short_is_painted_as_far_as_it_goes_and_said_to_be_short",
    ),
    (
        "a frame size that changes",
        "the first size, counted",
        "",
        "conformance::test_frames_of_another_size_are_counted",
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

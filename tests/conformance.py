"""What of a clip is still there after a render, each with the test that says so. ``python tests/conformance.py`` puts the table into
the README."""

from pathlib import Path

README = Path(__file__).parent.parent / "README.md"
BEGIN, SENTINEL = "<!-- conformance -->\n", "<!-- end of conformance -->"

KEPT = "kept"

ROWS = [
    # what, what becomes of it, the exception, the test
    ("constant rates, 23.976, 29.97, 59.94 too", "times exact", "", "sink::test_times_stay_exact"),
    (
        "variable rates",
        "times exact",
        "Matroska and WebM count in ms",
        "sink::test_a_variable_rate_stays_variable",
    ),
    (
        "a clock that begins anywhere (broadcasts)",
        "begins at 0",
        "",
        "conformance::test_a_clock_that_begins_anywhere_begins_at_zero",
    ),
    (
        "joins of segments",
        "none doubled or lost, dts rise",
        "",
        "mux::test_segments_become_one_clip_with_nothing_doubled_or_lost",
    ),
    (
        "several sound tracks",
        "every packet copied",
        "AAC in Matroska: all streams 23 ms later",
        "sink::test_every_sound_is_copied_packet_for_packet",
    ),
    (
        "sound in step",
        "within 1 ms: AAC, MP3, AC-3, Opus, FLAC, PCM",
        "where clocks jump: one block of sound; a part begins with its first whole block",
        "mux::test_sound_stays_in_step_within_a_millisecond",
    ),
    (
        "sound that the output cannot hold",
        "re-encoded in step (docs/sound.md)",
        "a codec that is not known: left out, named",
        "sound::test_sound_is_copied_or_re_encoded_in_step_as_the_page_says",
    ),
    (
        "sound that begins late (edit lists)",
        "within 1 ms",
        "",
        "mux::test_sound_that_begins_late_by_an_edit_list_begins_late",
    ),
    (
        "subtitles",
        KEPT,
        "MP4 shows one cue at a time; pictures (PGS) only in Matroska",
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
        "cut and moved",
        "",
        "mux::test_a_part_takes_its_share_of_everything",
    ),
    (
        "attachments (fonts)",
        KEPT,
        "Matroska only",
        "sink::test_what_the_container_cannot_hold_is_named",
    ),
    ("cover art", "kept, never painted", "not in WebM", "mux::test_a_cover_stays_a_cover"),
    (
        "a second video stream, streams of data",
        "left out, named",
        "",
        "mux::test_a_second_camera_is_left_out_and_named",
    ),
    (
        "rotation, shape of pixels",
        KEPT,
        "VP9, AV1, FFV1 in Matroska and WebM: square pixels; GIF, WebP, pictures, pipes: turned instead",
        "sink::test_rotation_and_pixel_shape_are_kept",
    ),
    (
        "360-degree and 3D metadata",
        "left out, named",
        "",
        "sidedata::test_lost_views_are_named_when_a_clip_is_opened",
    ),
    ("raw DV", "its own rate", "", "sizes::test_raw_dv_has_its_own_rate"),
    (
        "high rates in GIF and WebP",
        "length exact, frames left out and counted",
        "50 and 90 frames a second at most: browsers slow down all others",
        "sizes::test_animations_keep_their_length_and_no_frame_is_too_brief",
    ),
    (
        "tiny sizes",
        KEPT,
        "below 2x2 px VP9 only; below 16x16 px no HEVC: refused with a remedy",
        "sizes::test_tiny_clips_are_written_or_refused_with_a_remedy_that_works",
    ),
    (
        "odd sizes",
        KEPT,
        "H.264, HEVC, AV1, ProRes: one line less",
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
        "interlaced pictures",
        "deinterlaced (bwdif), same times",
        "",
        "conformance::test_interlaced_pictures_are_deinterlaced_and_keep_their_times",
    ),
    (
        "alpha of stills",
        KEPT,
        "not in JPEG",
        "conformance::test_a_still_keeps_alpha_depth_and_orientation",
    ),
    (
        "colour profiles of stills and styles",
        "converted to sRGB, written as sRGB without a profile",
        "not of BMP, of pictures through a pipe or from an address",
        "pictures::test_pictures_are_read_into_srgb_from_their_colour_profile",
    ),
    (
        "HEIC pictures made of tiles",
        "joined",
        "needs `vidstyle[heic]`, else refused; 8 bits",
        "pictures::test_the_tiles_of_a_heic_picture_are_joined",
    ),
    (
        "animated pictures, pages of a TIFF",
        "the first, said",
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
        "one after another, counted",
        "",
        "conformance::test_frames_without_times_follow_one_another",
    ),
    (
        "clocks that jump",
        "closed, counted",
        "",
        "conformance::test_clocks_that_jump_are_closed_and_sound_stays_in_step",
    ),
    (
        "damaged packets of pictures",
        "passed over, counted",
        "",
        "source::test_damaged_packets_are_passed_over",
    ),
    (
        "damaged packets of sound",
        "left out, counted",
        "",
        "mux::test_damaged_sound_is_left_out_and_counted",
    ),
    (
        "files cut short",
        "as far as they go, said",
        "MP4 without its index: refused",
        "conformance::test_a_clip_cut_short_is_painted_as_far_as_it_goes_and_said_to_be_short",
    ),
    (
        "sizes that change midway",
        "the first size, counted",
        "",
        "conformance::test_frames_of_another_size_are_counted",
    ),
]


def table():
    """The rows as a Markdown table."""
    lines = ["| of the source | in the output | exception |", "|---|---|---|"]
    lines += [f"| {what} | {becomes} | {exception} |" for what, becomes, exception, _ in ROWS]
    exceptions = sum(bool(exception) for _, _, exception, _ in ROWS)
    return "\n".join(lines) + f"\n\n{len(ROWS)} rows, {exceptions} of them with an exception.\n"


def main():
    """Put the table into the README."""
    before, rest = README.read_text().split(BEGIN)
    README.write_text(before + BEGIN + table() + SENTINEL + rest.split(SENTINEL)[1])


if __name__ == "__main__":
    main()

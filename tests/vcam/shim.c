/* LD_PRELOAD library that simulates a v4l2loopback device, to test native code without the module.

   VCAM_DEVICE is the path of the simulated device, VCAM_FILE the file that receives its data. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/videodev2.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int device = -1;
static struct v4l2_format current;

static int opened(const char *path, int flags, mode_t mode) {
  int (*real)(const char *, int, ...) = dlsym(RTLD_NEXT, "open");
  const char *pretended = getenv("VCAM_DEVICE");
  if (pretended && path && !strcmp(path, pretended))
    return device = real(getenv("VCAM_FILE"), O_WRONLY | O_CREAT | O_APPEND, 0600);
  return real(path, flags, mode);
}

static mode_t mode_of(int flags, va_list rest) {
  return flags & (O_CREAT | __O_TMPFILE) ? va_arg(rest, mode_t) : 0;
}

int open(const char *path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  mode_t mode = mode_of(flags, rest);
  va_end(rest);
  return opened(path, flags, mode);
}

int open64(const char *path, int flags, ...) {
  va_list rest;
  va_start(rest, flags);
  mode_t mode = mode_of(flags, rest);
  va_end(rest);
  return opened(path, flags, mode);
}

int __open_2(const char *path, int flags) { return opened(path, flags, 0); }
int __open64_2(const char *path, int flags) { return opened(path, flags, 0); }

int ioctl(int file, unsigned long request, ...) {
  va_list rest;
  va_start(rest, request);
  void *given = va_arg(rest, void *);
  va_end(rest);
  if (file < 0 || file != device) {
    int (*real)(int, unsigned long, ...) = dlsym(RTLD_NEXT, "ioctl");
    return real(file, request, given);
  }
  if (request == VIDIOC_QUERYCAP) {
    struct v4l2_capability *able = given;
    memset(able, 0, sizeof *able);
    strcpy((char *)able->driver, "v4l2 loopback");
    strcpy((char *)able->card, "pretended");
    able->device_caps = V4L2_CAP_VIDEO_OUTPUT | V4L2_CAP_READWRITE;
    able->capabilities = able->device_caps | V4L2_CAP_DEVICE_CAPS;
    return 0;
  }
  if (request == VIDIOC_S_FMT || request == VIDIOC_G_FMT || request == VIDIOC_TRY_FMT) {
    if (request == VIDIOC_S_FMT)
      current = *(struct v4l2_format *)given;
    *(struct v4l2_format *)given = current;
    return 0;
  }
  errno = EINVAL;
  return -1;
}

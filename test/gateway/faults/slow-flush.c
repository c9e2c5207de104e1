/* Loaded into a gateway: every flush of a file takes 5 s longer while the file that SLOW_FLUSH names is there. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>

static void wait_for_the_disk(void) {
  const char *flag = getenv("SLOW_FLUSH");
  if (flag != NULL && access(flag, F_OK) == 0) sleep(5);
}

int fsync(int fd) {
  int (*flush)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
  wait_for_the_disk();
  return flush(fd);
}

int fdatasync(int fd) {
  int (*flush)(int) = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
  wait_for_the_disk();
  return flush(fd);
}

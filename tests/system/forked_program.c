// For LD_PRELOAD: a program that is started many times, each time as a fork of one process that has
// loaded its libraries, which takes most of the time of a short run. That process reads calls from
// the socket HEADFLOW_CALLS, one a packet:
//     folder \0 number of words \0 words, each with \0, variables, each with \0
// with standard input, output and error and a pipe as descriptors. Into the pipe go the id of the
// fork and, at its end, its status as waitpid tells it.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

typedef int (*Main)(int, char**, char**);
enum { input, output, errors, answer, descriptors };
enum { most = 1 << 18 };

static Main program;
static char packet[most];
static char* texts[most / 2];

// The program itself, as the packet has it called.
static int run(ssize_t size, const int* descriptor) {
  int count = 0;
  for (char* text = packet; text < packet + size; text += strlen(text) + 1) texts[count++] = text;
  const int words = atoi(texts[1]);
  static char* own[most / 2 + 1];  // ends with a null
  memcpy(own, texts + 2, (size_t)words * sizeof *own);
  for (int i = input; i <= errors; ++i) dup2(descriptor[i], i);
  for (int i = 0; i < descriptors; ++i) close(descriptor[i]);
  if (chdir(texts[0]) != 0) _exit(127);
  environ = texts + 2 + words;
  return program(words, own, environ);
}

// Starts the program and waits for it.
static void wait_for(ssize_t size, const int* descriptor) {
  int status = 0;
  const pid_t child = fork();
  if (child < 0) _exit(1);
  if (child == 0) exit(run(size, descriptor));
  for (int i = input; i <= errors; ++i) close(descriptor[i]);
  if (write(descriptor[answer], &child, sizeof child) < 0 || waitpid(child, &status, 0) < 0 ||
      write(descriptor[answer], &status, sizeof status) < 0)
    _exit(1);
  _exit(0);
}

static int serve(int count, char** words, char** variables) {
  (void)count, (void)words, (void)variables;
  const int calls = atoi(getenv("HEADFLOW_CALLS"));
  signal(SIGCHLD, SIG_IGN);  // those that wait leave nothing to wait for
  if (send(calls, "ready", 5, MSG_NOSIGNAL) < 0) return 1;
  for (;;) {
    char control[CMSG_SPACE(descriptors * sizeof(int))];
    struct iovec text = {packet, most};
    struct msghdr message = {.msg_iov = &text,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = sizeof control};
    const ssize_t size = recvmsg(calls, &message, MSG_CMSG_CLOEXEC);
    if (size <= 0) return 0;  // the caller has ended
    int descriptor[descriptors];
    memcpy(descriptor, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof descriptor);
    if (fork() == 0) {
      close(calls);
      signal(SIGCHLD, SIG_DFL);
      wait_for(size, descriptor);
    }
    for (int i = 0; i < descriptors; ++i) close(descriptor[i]);
  }
}

int __libc_start_main(Main main, int count, char** words, void (*begin)(void), void (*end)(void),
                      void (*of_loader)(void), void* stack) {
  typedef int (*Start)(Main, int, char**, void (*)(void), void (*)(void), void (*)(void), void*);
  Start start;
  *(void**)&start =
      dlsym(RTLD_NEXT, "__libc_start_main");  // as POSIX has it: C knows no such conversion
  program = main;
  return start(serve, count, words, begin, end, of_loader, stack);
}

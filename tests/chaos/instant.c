/* Sends this process a signal exactly before, or exactly after, a file gets its name, is opened to be read
 * or is removed.
 *
 * Preloaded into a run. `instant_arm` says which file: a pattern that its whole path must match, and the how many-th
 * time. The signal goes to the very thread that makes the call: neither a kill nor a stop lets it go on first.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/types.h>

enum { NAMED = 1, READ = 2, REMOVED = 3 };

static char pattern[4096];
static int kind, after, number;
static atomic_int left;

void instant_arm(int what, const char *path, int nth, int afterwards, int signal) {
    kind = what, after = afterwards, number = signal;
    strncpy(pattern, path, sizeof pattern - 1);
    atomic_store(&left, nth);
}

/* Whether this call is the one. */
static int is_now(int what, const char *path) {
    return atomic_load(&left) > 0 && kind == what && path && fnmatch(pattern, path, 0) == 0 &&
           atomic_fetch_sub(&left, 1) == 1;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define CALLING(what, path, call)       \
    int now = is_now(what, path);       \
    if (now && !after) raise(number);   \
    int result = call;                  \
    if (now && after) raise(number);    \
    return result
#define OPENING(path, flags, call)                                       \
    int now = ((flags) & O_ACCMODE) == O_RDONLY && is_now(READ, path);   \
    if (now && !after) raise(number);                                    \
    mode_t mode = 0;                                                     \
    if (((flags) & O_CREAT) || ((flags) & O_TMPFILE) == O_TMPFILE) {         \
        va_list more;                                                    \
        va_start(more, flags);                                           \
        mode = va_arg(more, mode_t);                                     \
        va_end(more);                                                    \
    }                                                                    \
    int result = call;                                                   \
    if (now && after) raise(number);                                     \
    return result

int link(const char *from, const char *to) { CALLING(NAMED, to, REAL(link)(from, to)); }
int linkat(int a, const char *from, int b, const char *to, int how) { CALLING(NAMED, to, REAL(linkat)(a, from, b, to, how)); }
int rename(const char *from, const char *to) { CALLING(NAMED, to, REAL(rename)(from, to)); }
int renameat(int a, const char *from, int b, const char *to) { CALLING(NAMED, to, REAL(renameat)(a, from, b, to)); }
int renameat2(int a, const char *from, int b, const char *to, unsigned how) {
    CALLING(NAMED, to, REAL(renameat2)(a, from, b, to, how));
}
int open(const char *path, int flags, ...) { OPENING(path, flags, REAL(open)(path, flags, mode)); }
int open64(const char *path, int flags, ...) { OPENING(path, flags, REAL(open64)(path, flags, mode)); }
int unlink(const char *path) { CALLING(REMOVED, path, REAL(unlink)(path)); }
int unlinkat(int at, const char *path, int how) { CALLING(REMOVED, path, REAL(unlinkat)(at, path, how)); }

/* Records what a process does to the files of one directory, and lets operations fail. Preloaded; for glibc.
 *
 *   DISK_ROOT   the directory: what lies beneath it is recorded
 *   DISK_MARKS  a file elsewhere: what is written to it goes into the record too, in its place in the order
 *   DISK_LOG    the record, which is appended to
 *   DISK_FAIL   "KIND FIRST COUNT ERRNO": operations of the kind, from FIRST on and COUNT of them, fail.
 *               KIND is made of the letters of operations below; r stands for reads. A mark "release" ends it. How
 *               many there were is the last line on standard error.
 *
 * An entry: operation, 3 bytes of nothing, error, length of the path, length of the data, offset; path; data.
 * Operations hold one lock from their beginning to their entry, so that the order of entries is that of the
 * operations; only a sync is two entries, at its beginning and at its end. A mark "kill" kills the process
 * with that lock held: nothing is done that has no entry.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { CREATE = 'c', WRITE = 'w', LENGTH = 't', SYNC = 's', SYNCED = 'S', REMOVE = 'u', RENAME = 'n',
       MKDIR = 'm', MARK = 'k', MAPPED = 'x', READ = 'r' };

struct entry {
    uint8_t op, none[3];
    int32_t error;
    uint32_t path_len, data_len;
    uint64_t offset;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static char root[4096], marks[4096], kinds[32];
static long first, count, failing_errno, seen;
static int log_fd = -1;

#define REAL(ret, name, ...)                                       \
    static ret (*real_##name)(__VA_ARGS__);                        \
    if (!real_##name) real_##name = dlsym(RTLD_NEXT, #name)

__attribute__((constructor)) static void begin(void) {
    const char *log = getenv("DISK_LOG"), *fail = getenv("DISK_FAIL");
    if (!log || !getenv("DISK_ROOT") || !getenv("DISK_MARKS")) return;
    snprintf(root, sizeof root, "%s", getenv("DISK_ROOT"));
    snprintf(marks, sizeof marks, "%s", getenv("DISK_MARKS"));
    if (fail && sscanf(fail, "%31s %ld %ld %ld", kinds, &first, &count, &failing_errno) != 4) abort();
    REAL(int, open64, const char *, int, ...);
    log_fd = real_open64(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (log_fd < 0) abort();
}

__attribute__((destructor)) static void end(void) {
    if (log_fd >= 0 && getenv("DISK_FAIL")) fprintf(stderr, "%ld\n", seen);
}

/* The part of the path beneath the root; NULL when it is elsewhere. */
static const char *beneath(const char *path) {
    size_t len = strlen(root);
    if (log_fd < 0 || strncmp(path, root, len) || (path[len] && path[len] != '/')) return NULL;
    return path[len] ? path + len + 1 : path + len;
}

static const char *named(int dir, const char *path, char *buffer) {
    if (log_fd < 0) return NULL;
    if (path[0] == '/') return beneath(path);
    char link[64], base[4096];
    snprintf(link, sizeof link, dir == AT_FDCWD ? "/proc/self/cwd" : "/proc/self/fd/%d", dir);
    ssize_t len = readlink(link, base, sizeof base - 1);
    if (len < 0) return NULL;
    base[len] = 0;
    if (snprintf(buffer, 8192, "%s/%s", base, path) >= 8192) abort();
    return beneath(buffer);
}

static const char *opened(int fd, char *buffer) {
    char link[64];
    buffer[0] = 0;
    if (log_fd < 0) return NULL;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t len = readlink(link, buffer, 4095);
    if (len < 0) return NULL;
    buffer[len] = 0;
    return beneath(buffer);
}

static void enter(uint8_t op, const char *path, uint64_t offset, const void *data, size_t len, int error) {
    struct entry entry = { op, { 0 }, error, strlen(path), len, offset };
    struct iovec parts[] = { { &entry, sizeof entry }, { (void *)path, entry.path_len }, { (void *)data, len } };
    REAL(ssize_t, writev, int, const struct iovec *, int);
    if (real_writev(log_fd, parts, 3) != (ssize_t)(sizeof entry + entry.path_len + len)) abort();
}

/* Whether this operation is to fail. With the lock held. */
static int fails(uint8_t op) {
    if (!kinds[0] || !strchr(kinds, op)) return 0;
    long number = seen++;
    if (number < first || number - first >= count) return 0;
    errno = failing_errno;
    return 1;
}

static int lacks(const char *path) {
    struct stat found;
    return lstat(path, &found) != 0;
}

static int open_file(int dir, const char *path, int flags, mode_t mode) {
    char buffer[8192];
    REAL(int, openat64, int, const char *, int, ...);
    const char *name = flags & (O_CREAT | O_TRUNC) ? named(dir, path, buffer) : NULL;
    if (!name) return real_openat64(dir, path, flags, mode);
    pthread_mutex_lock(&lock);
    const char *whole = path[0] == '/' ? path : buffer;
    int new = lacks(whole), fd = -1;
    if (!new || !fails(CREATE)) fd = real_openat64(dir, path, flags, mode);
    int error = errno;
    if (fd >= 0 && new) enter(CREATE, name, 0, "", 0, 0);
    if (fd >= 0 && !new && flags & O_TRUNC) enter(LENGTH, name, 0, "", 0, 0);
    pthread_mutex_unlock(&lock);
    errno = error;
    return fd;
}

#define MODE(last) mode_t mode = 0; if (flags & O_CREAT) { va_list rest; va_start(rest, last); mode = va_arg(rest, mode_t); va_end(rest); }
int open(const char *path, int flags, ...) { MODE(flags) return open_file(AT_FDCWD, path, flags, mode); }
int open64(const char *path, int flags, ...) { MODE(flags) return open_file(AT_FDCWD, path, flags | O_LARGEFILE, mode); }
int openat(int dir, const char *path, int flags, ...) { MODE(flags) return open_file(dir, path, flags, mode); }
int openat64(int dir, const char *path, int flags, ...) { MODE(flags) return open_file(dir, path, flags | O_LARGEFILE, mode); }

static void marked(const void *data, size_t len) {
    enter(MARK, "", 0, data, len, 0);
    if (len >= 4 && !memcmp(data, "kill", 4)) { kill(getpid(), SIGKILL); for (;;) pause(); }
    if (len >= 7 && !memcmp(data, "release", 7)) kinds[0] = 0;
}

/* At the file's own place when there is no offset. What fails is written by half. */
static ssize_t write_file(int fd, const void *data, size_t len, const off64_t *offset) {
    char buffer[4096];
    REAL(ssize_t, write, int, const void *, size_t);
    REAL(ssize_t, pwrite64, int, const void *, size_t, off64_t);
    const char *name = opened(fd, buffer);
    int mark = !name && log_fd >= 0 && !strcmp(buffer, marks);
    if (!name && !mark) return offset ? real_pwrite64(fd, data, len, *offset) : real_write(fd, data, len);
    pthread_mutex_lock(&lock);
    if (mark) marked(data, len);
    int failing = name && fails(WRITE);
    if (failing) len /= 2;
    ssize_t done = offset ? real_pwrite64(fd, data, len, *offset) : real_write(fd, data, len);
    int error = failing ? failing_errno : errno;
    if (name && done > 0) {
        off64_t at = offset ? *offset : lseek64(fd, 0, SEEK_CUR) - done;
        enter(WRITE, name, at, data, done, 0);
    }
    pthread_mutex_unlock(&lock);
    errno = error;
    return failing ? -1 : done;
}

ssize_t write(int fd, const void *data, size_t len) { return write_file(fd, data, len, NULL); }
ssize_t pwrite64(int fd, const void *data, size_t len, off64_t offset) { return write_file(fd, data, len, &offset); }
ssize_t pwrite(int fd, const void *data, size_t len, off_t offset) { return pwrite64(fd, data, len, offset); }
ssize_t writev(int fd, const struct iovec *parts, int number) {
    REAL(ssize_t, writev, int, const struct iovec *, int);
    char buffer[4096];
    return number && opened(fd, buffer) ? write(fd, parts[0].iov_base, parts[0].iov_len) : real_writev(fd, parts, number);
}

#define READS(name, params, args)                                                                        \
    ssize_t name params {                                                                                \
        char buffer[4096];                                                                               \
        REAL(ssize_t, name, int, void *, size_t, ...);                                                   \
        if (kinds[0] && strchr(kinds, READ) && opened(fd, buffer)) {                                     \
            pthread_mutex_lock(&lock);                                                                   \
            int failing = fails(READ);                                                                   \
            pthread_mutex_unlock(&lock);                                                                 \
            if (failing) return -1;                                                                      \
        }                                                                                                \
        return real_##name args;                                                                         \
    }
READS(read, (int fd, void *data, size_t len), (fd, data, len))
READS(pread64, (int fd, void *data, size_t len, off64_t offset), (fd, data, len, offset))
ssize_t pread(int fd, void *data, size_t len, off_t offset) { return pread64(fd, data, len, offset); }

int ftruncate64(int fd, off64_t len) {
    char buffer[4096];
    REAL(int, ftruncate64, int, off64_t);
    const char *name = opened(fd, buffer);
    if (!name) return real_ftruncate64(fd, len);
    pthread_mutex_lock(&lock);
    int done = fails(LENGTH) ? -1 : real_ftruncate64(fd, len), error = errno;
    if (!done) enter(LENGTH, name, len, "", 0, 0);
    pthread_mutex_unlock(&lock);
    errno = error;
    return done;
}
int ftruncate(int fd, off_t len) { return ftruncate64(fd, len); }

/* A sync that fails has written nothing. */
#define SYNCS(function)                                                       \
    int function(int fd) {                                                    \
        char buffer[4096];                                                    \
        REAL(int, function, int);                                             \
        const char *name = opened(fd, buffer);                                \
        if (!name) return real_##function(fd);                                \
        pthread_mutex_lock(&lock);                                            \
        enter(SYNC, name, 0, "", 0, 0);                                       \
        int failing = fails(SYNC);                                            \
        pthread_mutex_unlock(&lock);                                          \
        int done = failing ? -1 : real_##function(fd);                        \
        int error = failing ? failing_errno : errno;                          \
        pthread_mutex_lock(&lock);                                            \
        enter(SYNCED, name, 0, "", 0, done ? error : 0);                      \
        pthread_mutex_unlock(&lock);                                          \
        errno = error;                                                        \
        return done;                                                          \
    }
SYNCS(fsync)
SYNCS(fdatasync)

int unlinkat(int dir, const char *path, int flags) {
    char buffer[8192];
    REAL(int, unlinkat, int, const char *, int);
    const char *name = named(dir, path, buffer);
    if (!name) return real_unlinkat(dir, path, flags);
    pthread_mutex_lock(&lock);
    int done = fails(REMOVE) ? -1 : real_unlinkat(dir, path, flags), error = errno;
    if (!done) enter(REMOVE, name, 0, "", 0, 0);
    pthread_mutex_unlock(&lock);
    errno = error;
    return done;
}
int unlink(const char *path) { return unlinkat(AT_FDCWD, path, 0); }
int rmdir(const char *path) { return unlinkat(AT_FDCWD, path, AT_REMOVEDIR); }

int renameat2(int from_dir, const char *from, int to_dir, const char *to, unsigned flags) {
    char buffer[8192], other[8192];
    REAL(int, renameat2, int, const char *, int, const char *, unsigned);
    const char *name = named(from_dir, from, buffer), *target = named(to_dir, to, other);
    if (!name || !target) return real_renameat2(from_dir, from, to_dir, to, flags);
    pthread_mutex_lock(&lock);
    int done = fails(RENAME) ? -1 : real_renameat2(from_dir, from, to_dir, to, flags), error = errno;
    if (!done) enter(RENAME, name, 0, target, strlen(target), 0);
    pthread_mutex_unlock(&lock);
    errno = error;
    return done;
}
int renameat(int from_dir, const char *from, int to_dir, const char *to) { return renameat2(from_dir, from, to_dir, to, 0); }
int rename(const char *from, const char *to) { return renameat2(AT_FDCWD, from, AT_FDCWD, to, 0); }

int mkdirat(int dir, const char *path, mode_t mode) {
    char buffer[8192];
    REAL(int, mkdirat, int, const char *, mode_t);
    const char *name = named(dir, path, buffer);
    if (!name) return real_mkdirat(dir, path, mode);
    pthread_mutex_lock(&lock);
    int done = fails(MKDIR) ? -1 : real_mkdirat(dir, path, mode), error = errno;
    if (!done) enter(MKDIR, name, 0, "", 0, 0);
    pthread_mutex_unlock(&lock);
    errno = error;
    return done;
}
int mkdir(const char *path, mode_t mode) { return mkdirat(AT_FDCWD, path, mode); }

/* What is written through a mapping is seen by nobody; the index of a WAL, which a power cut takes whole, may be. */
void *mmap64(void *at, size_t len, int access, int flags, int fd, off64_t offset) {
    char buffer[4096];
    REAL(void *, mmap64, void *, size_t, int, int, int, off64_t);
    if (log_fd >= 0 && fd >= 0 && access & PROT_WRITE && flags & MAP_SHARED) {
        const char *name = opened(fd, buffer);
        if (name && !strstr(name, "-shm")) enter(MAPPED, name, 0, "", 0, 0);
    }
    return real_mmap64(at, len, access, flags, fd, offset);
}
void *mmap(void *at, size_t len, int access, int flags, int fd, off_t offset) { return mmap64(at, len, access, flags, fd, offset); }

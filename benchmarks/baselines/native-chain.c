/* The chains of sha256 and sha256_cbor in C over OpenSSL: nanoseconds per block for a block size, by the one-shot
 * SHA256() and by EVP_Digest with the algorithm fetched once. Compiled and run by native-chain.ts. */
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
static uint32_t tokens[1 << 14];
static uint8_t out[1 << 17];
static double now(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec * 1e9 + t.tv_nsec; }
static uint8_t *big(uint8_t *p, uint32_t v) { v = __builtin_bswap32(v); memcpy(p, &v, 4); return p + 4; }
static size_t cbor(const uint8_t *parent, const uint32_t *token, int count) {
  uint8_t *p = out;
  *p++ = 0x83; *p++ = 0x58; *p++ = 32; memcpy(p, parent, 32); p += 32;
  if (count > 255) { *p++ = 0x99; *p++ = count >> 8; } else if (count > 23) *p++ = 0x98;
  *p++ = count > 23 ? count : 0x80 | count;
  for (int i = 0; i < count; i++) {
    uint32_t n = token[i];
    if (n > 65535) { *p++ = 0x1a; p = big(p, n); }
    else if (n > 255) { *p++ = 0x19; *p++ = n >> 8; *p++ = n; }
    else { if (n > 23) *p++ = 0x18; *p++ = n; }
  }
  *p++ = 0xf6;
  return p - out;
}
static size_t pickle(const uint8_t *parent, const uint32_t *token, int count) {
  uint8_t *p = out;
  memcpy(p, "\x80\5\x95\0\0\0\0\0\0\0\0\x43\x20", 13); p += 13;
  memcpy(p, parent, 32); p += 32;
  *p++ = 0x94; *p++ = 0x28;
  for (int i = 0; i < count; i++) {
    uint32_t n = token[i];
    *p++ = n > 65535 ? 0x4a : n > 255 ? 0x4d : 0x4b;
    memcpy(p, &n, 4); p += n > 65535 ? 4 : n > 255 ? 2 : 1;
  }
  memcpy(p, "\x74\x94\x4e\x87\x94\x2e", 6); p += 6;
  uint32_t size = p - out - 11;
  memcpy(out + 3, &size, 4);
  return p - out;
}
int main(int argc, char **argv) {
  int count = atoi(argv[1]), blocks = (1 << 14) / count;
  EVP_MD *md = EVP_MD_fetch(NULL, "SHA256", NULL);
  uint8_t digest[32] = {0};
  uint32_t state = 42;
  for (int i = 0; i < 1 << 14; i++) tokens[i] = ((uint64_t)(state = state * 1664525 + 1013904223) * 152000) >> 32;
  for (int format = 0; format < 2; format++)
    for (int call = 0; call < 2; call++) {
      double ns = 0;
      for (int round = 0; round < 3; round++) { /* the first two warm up */
        double t = now();
        for (int b = 0; b < blocks; b++) {
          const uint32_t *token = tokens + b * count;
          size_t length = format ? cbor(digest, token, count) : pickle(digest, token, count);
          if (call) EVP_Digest(out, length, digest, NULL, md, NULL); else SHA256(out, length, digest);
        }
        ns = (now() - t) / blocks;
      }
      printf("%.1f ", ns);
    }
}

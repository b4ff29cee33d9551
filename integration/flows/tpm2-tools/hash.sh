# Longer than one buffer: a sequence.
dd if=/dev/zero of=data bs=1000 count=5 2>dd.log
tpm2_hash -C o -g sha256 -o digest -t ticket data
[ "$(xxd -p -c 64 digest)" = "$(sha256sum data | cut -d ' ' -f 1)" ]
printf short | tpm2_hash -C o -g sha384 --hex | grep -q "$(printf short | sha384sum | cut -d ' ' -f 1)"

tpm2_nvdefine 0x1500002 -C o -s 8 -a 'ownerread|ownerwrite|nt=counter'
tpm2_nvincrement 0x1500002 -C o
first=$(tpm2_nvread 0x1500002 -C o | xxd -p)
tpm2_nvincrement 0x1500002 -C o
second=$(tpm2_nvread 0x1500002 -C o | xxd -p)
[ $((0x$second)) -eq $((0x$first + 1)) ]
tpm2_nvdefine 0x1500003 -C o -g sha256 -a 'ownerread|ownerwrite|nt=extend'
printf data >data
tpm2_nvextend 0x1500003 -C o -i data
expected=$({ printf '%064d' 0 | xxd -r -p; cat data; } | sha256sum | cut -d ' ' -f 1)
[ "$(tpm2_nvread 0x1500003 -C o | xxd -p -c 64)" = "$expected" ]
tpm2_nvdefine 0x1500004 -C o -s 8 -a 'ownerread|ownerwrite|nt=bits'
tpm2_nvsetbits 0x1500004 -C o -i 0x5
[ "$(tpm2_nvread 0x1500004 -C o | xxd -p)" = 0000000000000005 ]
tpm2_nvdefine 0x1500005 -C o -s 4 -a 'ownerread|ownerwrite|write_stclear|read_stclear'
printf four >data
tpm2_nvwrite 0x1500005 -C o -i data
tpm2_nvwritelock 0x1500005 -C o
refused 0x148 tpm2_nvwrite 0x1500005 -C o -i data
tpm2_nvreadlock 0x1500005 -C o
refused 0x148 tpm2_nvread 0x1500005 -C o

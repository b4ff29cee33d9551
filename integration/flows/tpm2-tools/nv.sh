tpm2_nvdefine 0x1500001 -C o -s 32 -a 'ownerread|ownerwrite|authread|authwrite' -p secret
printf 'thirty-two bytes of an NV index!' >data
tpm2_nvwrite 0x1500001 -C 0x1500001 -P secret -i data
tpm2_nvread 0x1500001 -C o -o back
cmp data back
refused 0x98e tpm2_nvread 0x1500001 -C 0x1500001 -P wrong
tpm2_nvreadpublic 0x1500001 | grep -q 'size: 32'
tpm2_nvundefine 0x1500001 -C o
refused 0x18b tpm2_nvreadpublic 0x1500001

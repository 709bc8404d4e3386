export PYTHONUNBUFFERED=1
timeout 200 python3 kernels/tests/check_device.py 2>&1 | tee $OUT/check.txt | tail -40
PYTHONPATH=kernels timeout 150 python3 kernels/bench.py --json $OUT/bench.json 2>&1 | tee $OUT/bench.txt
timeout 60 python3 kernels/tests/profile_device.py 2>&1 | tee $OUT/profile.txt

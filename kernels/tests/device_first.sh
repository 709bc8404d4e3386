nvidia-smi --query-gpu=name,driver_version,clocks.sm --format=csv,noheader; uname -r
export PYTHONUNBUFFERED=1
timeout 200 python3 kernels/tests/check_device.py 2>&1 | tee $OUT/check.txt
PYTHONPATH=kernels timeout 150 python3 kernels/bench.py --json $OUT/bench.json 2>&1 | tee $OUT/bench.txt
mv kernels/geofcs_kernels/lib /tmp/lib
cat > /tmp/nv.py <<'PY'
import sys, time
sys.path[:0]=['kernels','kernels/tests']
import torch; torch.zeros(1).cuda()
import geofcs_kernels as gk
from reference import arguments
a=arguments(1,32,20,20,4,torch.bfloat16,'cuda')
t=time.time(); print(gk.available('cuda')); gk.forward(*a); torch.cuda.synchronize(); print('first use', time.time()-t)
PY
python3 /tmp/nv.py; python3 /tmp/nv.py; mv /tmp/lib kernels/geofcs_kernels/lib

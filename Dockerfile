# Target `server`: what SageMaker runs. Target `lambda`: the same handlers on AWS Lambda.
# Built by `make image` or `pixelserve build`, which give the arguments; the classic builder can do it.
ARG BASE=python:3.11-slim-bookworm

# Everything but our own code, so that a change of that rebuilds in seconds.
FROM ${BASE} AS packages
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
ARG MMS=false
RUN if [ "${MMS}" = true ]; then \
      mkdir -p /usr/share/man/man1 && \
      apt-get update && \
      apt-get install -y --no-install-recommends openjdk-17-jre-headless='17.*' && \
      rm -rf /var/lib/apt/lists/*; \
    fi
WORKDIR /opt/pixelserve/build
ARG DEVICE=cpu
# Where pip finds builds of torch beside its usual index; see pytorch.org for the one of CPU builds.
ARG TORCH_FIND_LINKS=
ARG TORCH_INDEX_URL=
COPY constraints.txt setup.cfg container/image/ ./
RUN if [ "${MMS}" = true ]; then extra=mms; else extra=server; fi && \
    python requirements.py "${DEVICE}.txt" server "${extra}" && \
    PIP_FIND_LINKS="${TORCH_FIND_LINKS}" PIP_EXTRA_INDEX_URL="${TORCH_INDEX_URL}" \
      python -m pip install --no-cache-dir --disable-pip-version-check --root-user-action=ignore \
      -c constraints.txt -r requirements.txt && \
    rm -rf /usr/local/lib/python3.*/site-packages/torch/include /usr/local/lib/python3.*/site-packages/torch/test && \
    find /usr/local/lib/python3.*/site-packages/torch/bin -type f ! -name torch_shm_manager -delete

FROM packages AS wheel
COPY . .
RUN python -m pip wheel --no-cache-dir --no-deps --wheel-dir /opt/pixelserve/wheel .

FROM packages AS server
# Published weights by name (`pixelserve weights list`), verified; used while the model folder holds none.
ARG WEIGHTS=
ARG PIXELSERVE_WEIGHTS_MIRROR=
# A handler of the user's, where the build has one: the licence only keeps COPY from failing without.
COPY LICENSE handler* /opt/pixelserve/handler/
RUN if [ -f /opt/pixelserve/handler/requirements.txt ]; then \
      python -m pip install --no-cache-dir --disable-pip-version-check --root-user-action=ignore \
        -c constraints.txt -r /opt/pixelserve/handler/requirements.txt; \
    fi
COPY --from=wheel /opt/pixelserve/wheel /opt/pixelserve/wheel
RUN python -m pip install --no-cache-dir --disable-pip-version-check --root-user-action=ignore --no-deps --no-index \
      /opt/pixelserve/wheel/*.whl && \
    mkdir -p /opt/pixelserve/weights /opt/ml/model /opt/ml/models && \
    if [ -n "${WEIGHTS}" ]; then \
      pixelserve weights fetch ${WEIGHTS} --to /opt/pixelserve/weights && \
      find /opt/pixelserve/weights -mindepth 2 -type f -exec mv -t /opt/pixelserve/weights {} + && \
      find /opt/pixelserve/weights -mindepth 1 -type d -delete; \
    fi
WORKDIR /opt/pixelserve
ARG FEATURE=image_super_resolution
ARG VERSION=unknown
ARG REVISION=unknown
ARG DEVICE=cpu
ENV PIXELSERVE_HOST=0.0.0.0 \
    PIXELSERVE_FEATURE=${FEATURE} \
    PIXELSERVE_IMAGE_WEIGHTS=/opt/pixelserve/weights \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
LABEL com.amazonaws.sagemaker.capabilities.accept-bind-to-port=true \
      com.amazonaws.sagemaker.capabilities.multi-models=true \
      org.opencontainers.image.title=pixelserve \
      org.opencontainers.image.licenses=Apache-2.0 \
      org.opencontainers.image.version=${VERSION} \
      org.opencontainers.image.revision=${REVISION} \
      pixelserve.device=${DEVICE}
EXPOSE 8080
ENTRYPOINT ["python", "-m", "pixelserve.serving"]
CMD ["serve"]

FROM server AS lambda
WORKDIR /opt/pixelserve/build
RUN python -m pip install --no-cache-dir --disable-pip-version-check --root-user-action=ignore \
      -c constraints.txt awslambdaric
WORKDIR /opt/pixelserve
ENTRYPOINT ["python", "-m", "pixelserve.serving.aws_lambda"]

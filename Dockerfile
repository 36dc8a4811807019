# Target `server`: what SageMaker runs. Target `lambda`: the same handlers on AWS Lambda. Target `gateway`: the REST APIs
# in front of endpoints, as a container of its own or on AWS Lambda.
# Built by `make image` or `pixelserve build`, which give the arguments; the classic builder can do it.
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS wheel
WORKDIR /opt/pixelserve/build
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
COPY Dockerfile LICENSE README.md constraints.txt pyproject.toml setup.cfg ./
COPY code code
COPY container container
COPY deploy deploy
RUN python -m pip wheel --no-cache-dir --no-deps --wheel-dir /opt/pixelserve/wheel .

# Before the stages with torch: the classic builder makes every stage that stands above its target.
FROM ${BASE} AS gateway
WORKDIR /opt/pixelserve/build
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
COPY constraints.txt setup.cfg container/image/ ./
RUN python requirements.py gateway.txt gateway lambda && \
    python -m pip install --no-cache-dir --disable-pip-version-check --root-user-action=ignore \
      -c constraints.txt -r requirements.txt
COPY --from=wheel /opt/pixelserve/wheel /opt/pixelserve/wheel
RUN python -m pip install --no-cache-dir --disable-pip-version-check --root-user-action=ignore --no-deps --no-index \
      /opt/pixelserve/wheel/*.whl && \
    mkdir -p /var/lib/pixelserve && \
    chown 10001:10001 /var/lib/pixelserve
WORKDIR /opt/pixelserve
ARG VERSION=unknown
ARG REVISION=unknown
ENV PIXELSERVE_GATEWAY_HOST=0.0.0.0 \
    PIXELSERVE_GATEWAY_STATE=/var/lib/pixelserve \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
LABEL org.opencontainers.image.title=pixelserve-gateway \
      org.opencontainers.image.licenses=Apache-2.0 \
      org.opencontainers.image.version=${VERSION} \
      org.opencontainers.image.revision=${REVISION}
USER 10001:10001
EXPOSE 8100
ENTRYPOINT ["python", "-m", "pixelserve_gateway"]

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
# Where pip finds torch alone: a package index (empty: pip's usual one, as DEVICE=cuda needs it), a page or folder.
ARG TORCH_INDEX_URL=https://download.pytorch.org/whl/cpu
ARG TORCH_FIND_LINKS=
# pip's own variables, for a mirror. They end with the build; the engine passes the variables of proxies by itself.
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
COPY constraints.txt setup.cfg container/image/ ./
RUN if [ "${MMS}" = true ]; then extra=mms; else extra=server; fi && \
    python requirements.py "${DEVICE}.txt" server "${extra}" openvino && \
    export PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore && \
    { python -m pip install --no-deps ${TORCH_INDEX_URL:+--index-url "${TORCH_INDEX_URL}"} \
        ${TORCH_FIND_LINKS:+--find-links "${TORCH_FIND_LINKS}"} -r torch.txt || \
      { echo "Name another place that has $(cat torch.txt): --torch-index or --torch-find-links." && exit 1; }; } && \
    python -m pip install -c constraints.txt -r requirements.txt && \
    rm -rf /usr/local/lib/python3.*/site-packages/torch/include /usr/local/lib/python3.*/site-packages/torch/test && \
    find /usr/local/lib/python3.*/site-packages/torch/bin -type f ! -name torch_shm_manager -delete

# A handler and weights of the user's, where the build has them. The licence keeps COPY from failing without.
FROM packages AS own
COPY LICENSE own* /opt/pixelserve/own/
RUN mkdir -p /opt/pixelserve/own/handler /opt/pixelserve/own/weights

FROM packages AS server
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
# Published weights by name (`pixelserve weights list`), verified; used while the model folder holds none.
ARG WEIGHTS=
ARG PIXELSERVE_WEIGHTS_MIRROR=
COPY --from=own /opt/pixelserve/own/weights /opt/pixelserve/weights
COPY --from=own /opt/pixelserve/own/handler /opt/pixelserve/handler
RUN if [ -f /opt/pixelserve/handler/requirements.txt ]; then \
      python -m pip install --no-cache-dir --disable-pip-version-check --root-user-action=ignore \
        -c constraints.txt -r /opt/pixelserve/handler/requirements.txt; \
    fi
COPY --from=wheel /opt/pixelserve/wheel /opt/pixelserve/wheel
RUN python -m pip install --no-cache-dir --disable-pip-version-check --root-user-action=ignore --no-deps --no-index \
      /opt/pixelserve/wheel/*.whl && \
    mkdir -p /opt/ml/model /opt/ml/models && \
    if [ -n "${WEIGHTS}" ]; then \
      pixelserve weights fetch ${WEIGHTS} --to /opt/pixelserve/fetched && \
      find /opt/pixelserve/fetched -type f ! -name '.*' -exec mv -t /opt/pixelserve/weights {} + && \
      rm -r /opt/pixelserve/fetched; \
    fi
WORKDIR /opt/pixelserve
ARG FEATURE=image_super_resolution
ARG PROGRAM=inference.py
ARG IMAGE_WEIGHTS=/opt/pixelserve/weights
ARG VERSION=unknown
ARG REVISION=unknown
ARG DEVICE=cpu
ENV PIXELSERVE_HOST=0.0.0.0 \
    PIXELSERVE_DEVICE=${DEVICE} \
    PIXELSERVE_FEATURE=${FEATURE} \
    SAGEMAKER_PROGRAM=${PROGRAM} \
    PIXELSERVE_IMAGE_WEIGHTS=${IMAGE_WEIGHTS} \
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
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
WORKDIR /opt/pixelserve/build
RUN python -m pip install --no-cache-dir --disable-pip-version-check --root-user-action=ignore \
      -c constraints.txt awslambdaric
WORKDIR /opt/pixelserve
# OpenVINO converts a network at each start, for which Lambda gives 10 seconds.
ENV PIXELSERVE_RUNTIME=torch
ENTRYPOINT ["python", "-m", "pixelserve.serving.aws_lambda"]
